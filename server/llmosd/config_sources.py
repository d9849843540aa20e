"""Where settings come from: defaults < TOML file < environment < flags; each with its origin.

Every fault of every source is collected before anything is said, so that a file is mended in one
go.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from llmosd.config import Config
from llmosd.config_checks import ConfigError, ConfigFault, faults

PREFIX = "LLMOSD_"
_MAPPINGS = {
    "tenant_weights": '{"name": 2.0}',
    "tenant_quotas": '{"name": {"generations": 4, "tokens_per_minute": 6000}}',
    "certificates": '{"name": {"role": "use", "tenant": "name"}}',
}
_TYPES = {each.name: each.type for each in msgspec.structs.fields(Config)}


class Origin(NamedTuple):
    """Where a value comes from: "default", "file", "environment" or "flag"; and its name there."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings that hold, and where those that are no defaults come from."""

    config: Config
    origins: Mapping[str, Origin]

    def origin(self, name: str) -> Origin:
        """Where one setting comes from."""
        return self.origins.get(name, DEFAULT)


@dataclass(frozen=True, slots=True)
class Sources:
    """What settings are read from; a flag whose value is None was not given."""

    file: str | None
    environment: Mapping[str, str]
    flags: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Loaded:
        """Read, merge and check them.

        Raises:
            ConfigError: with every fault: its source, its key and the fix.
        """
        return _Reading(self).finish()

    def unknown_variables(self) -> list[str]:
        """Variables that look like settings and are none; somebody else's, or misspelt."""
        known = {f"{PREFIX}{name.upper()}" for name in _TYPES}
        return sorted(k for k in self.environment if k.startswith(PREFIX) and k not in known)


class _Reading:
    """One pass over the sources."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._values: dict[str, Any] = {}
        self._origins: dict[str, Origin] = {}
        self._faults: list[ConfigFault] = []

    def finish(self) -> Loaded:
        self._read_file()
        self._read_environment()
        for name, value in self._sources.flags.items():
            if value is not None:
                self._set(name, value, Origin("flag", f"--{name.replace('_', '-')}"))
        self._read_folders()
        config = self._config()
        self._faults += [self._placed(name, text) for name, text in faults(config)]
        if self._faults:
            raise ConfigError(*self._faults)
        return Loaded(config, self._origins)

    def _read_file(self) -> None:
        file = self._sources.file
        if file is None:
            return
        try:
            found = tomllib.loads(Path(file).read_text())
        except OSError as error:
            raise ConfigError(ConfigFault(file, "", error.strerror or str(error))) from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(ConfigFault(file, "", str(error))) from None
        for name, value in found.items():
            if name in _TYPES:
                self._set(name, value, Origin("file", file))
            else:
                close = get_close_matches(name, _TYPES, n=1)
                guess = f"did you mean {close[0]}?" if close else "remove it"
                self._faults.append(ConfigFault(file, name, f"there is no such setting; {guess}"))

    def _read_environment(self) -> None:
        environment = self._sources.environment
        for name in _TYPES:
            key = f"{PREFIX}{name.upper()}"
            if key not in environment:
                continue
            value: Any = environment[key]
            if name in _MAPPINGS:
                try:
                    value = msgspec.json.decode(value)
                except msgspec.DecodeError as error:
                    example = _MAPPINGS[name]
                    self._faults.append(ConfigFault(key, name, f"as {example} in JSON: {error}"))
                    continue
            self._set(name, value, Origin("environment", key))

    def _read_folders(self) -> None:
        """As systemd says under a unit, else as the XDG base directory specification says."""
        for name, kind, below in (
            ("state_dir", "STATE", ".local/state"),
            ("cache_dir", "CACHE", ".cache"),
        ):
            if name in self._values:
                continue
            variable = f"{kind}_DIRECTORY"
            if variable in self._sources.environment:
                value = self._sources.environment[variable].split(":")[0]
                self._set(name, value, Origin("environment", variable))
                continue
            base = self._sources.environment.get(f"XDG_{kind}_HOME") or str(Path.home() / below)
            self._values[name] = str(Path(base) / "llmos")

    def _set(self, name: str, value: Any, origin: Origin) -> None:
        try:
            value = msgspec.convert(value, _TYPES[name], strict=False)
        except msgspec.ValidationError as error:
            self._origins[name] = origin
            self._faults.append(self._placed(name, str(error)))
            return
        self._values[name], self._origins[name] = value, origin

    def _config(self) -> Config:
        for name in ("state_dir", "cache_dir"):
            self._values[name] = str(Path(self._values[name]).expanduser().absolute())
        config = Config(**self._values)
        if config.listen:
            return config
        runtime = self._sources.environment.get("XDG_RUNTIME_DIR")
        folder = Path(runtime) / "llmos" if runtime else config.state
        return msgspec.structs.replace(config, listen=f"unix:{folder / 'llmosd.sock'}")

    def _placed(self, name: str, text: str) -> ConfigFault:
        """A fault at the place where its setting was given."""
        return ConfigFault(self._origins.get(name, DEFAULT).name, name, text)


def load_config(
    file: str | None, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> Config:
    """Read the settings alone; raises ConfigError."""
    return Sources(file, environment, flags).load().config
