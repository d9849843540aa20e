"""Settings and their origins as messages of the API."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from llmos.v1 import config_pb2 as pb
from llmosd.config import Config
from llmosd.config_checks import ConfigError, ConfigFault
from llmosd.errors import FieldViolation, InvalidConfig
from llmosd.settings import Settings

# Where a key lies is nobody's business that may not change the file that says it.
_HIDDEN = frozenset({"tls_key"})


def read_config(settings: Settings) -> pb.GetConfigResponse:
    """Every setting that holds."""
    response = pb.GetConfigResponse()
    live, waiting = settings.live, settings.waiting
    for name in Config.__struct_fields__:
        value = getattr(settings.config, name)
        if name in _HIDDEN and value:
            value = "set"
        origin = settings.loaded.origin(name)
        response.settings.add(
            name=name,
            value_json=msgspec.json.encode(value).decode(),
            origin=pb.ConfigOrigin.Value(f"CONFIG_ORIGIN_{origin.kind.upper()}"),
            origin_name=origin.name,
            reloadable=name in live,
            restart_pending=name in waiting,
        )
    return response


def reload_config(settings: Settings) -> pb.ReloadConfigResponse:
    """Read the settings again; raises InvalidConfig with every fault."""
    try:
        done = settings.reload()
    except ConfigError as error:
        raise _invalid(error.faults) from None
    return pb.ReloadConfigResponse(applied=done.applied, restart_needed=done.restart)


def _invalid(faults: Sequence[ConfigFault]) -> InvalidConfig:
    # Folders are the administrator's, and stay in the log.
    violations = [
        FieldViolation(each.name or Path(each.place).name, each.text, Path(each.place).name)
        for each in faults
    ]
    first = f"{violations[0].field}: {violations[0].description}"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return InvalidConfig(f"the settings stay as they are: {first}{more}", violations=violations)
