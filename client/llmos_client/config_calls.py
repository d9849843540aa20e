"""The calls about the daemon's settings and its garbage; see `calls`."""

import json
from typing import Any

from llmos.v1 import config_pb2 as pb
from llmos.v1 import garbage_pb2
from llmos_client.calls import Call
from llmos_client.configs import ConfigOrigin, ConfigReload, ConfigSetting
from llmos_client.garbage import GarbageItem, GarbageResult
from llmos_client.parsing_base import enum


def get_config() -> Call[list[ConfigSetting]]:
    """Call GetConfig."""

    def parse(response: Any) -> list[ConfigSetting]:
        return [_setting(each) for each in response.settings]

    return Call("admin", "GetConfig", pb.GetConfigRequest(), parse)


def reload_config() -> Call[ConfigReload]:
    """Call ReloadConfig."""

    def parse(response: Any) -> ConfigReload:
        return ConfigReload(tuple(response.applied), tuple(response.restart_needed))

    return Call("admin", "ReloadConfig", pb.ReloadConfigRequest(), parse)


def collect_garbage(*, dry_run: bool, keep: int | None, older_than: float) -> Call[GarbageResult]:
    """Call CollectGarbage."""
    request = garbage_pb2.CollectGarbageRequest(dry_run=dry_run)
    if keep is not None:
        request.keep = keep
    request.older_than.FromMilliseconds(round(older_than * 1000))

    def parse(response: Any) -> GarbageResult:
        items = tuple(GarbageItem(i.kind, i.name, i.byte_size) for i in response.items)
        return GarbageResult(items, response.used_bytes, response.quota_bytes)

    return Call("admin", "CollectGarbage", request, parse)


def _setting(proto: Any) -> ConfigSetting:
    return ConfigSetting(
        name=proto.name,
        value=json.loads(proto.value_json),
        origin=enum(ConfigOrigin, pb.ConfigOrigin, "CONFIG_ORIGIN_", proto.origin),
        origin_name=proto.origin_name,
        reloadable=proto.reloadable,
        restart_pending=proto.restart_pending,
    )
