"""The daemon's settings, as the SDK gives them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ConfigOrigin(StrEnum):
    """Where a setting comes from; a later one wins over those before it."""

    UNSPECIFIED = "unspecified"
    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class ConfigSetting:
    """A setting that holds; `origin_name` is the file, variable or flag.

    A `reloadable` one changes with a reload. `restart_pending`: its source says something else by
    now, which needs a restart.
    """

    name: str
    value: Any
    origin: ConfigOrigin
    origin_name: str
    reloadable: bool
    restart_pending: bool


@dataclass(frozen=True, slots=True)
class ConfigReload:
    """Names of settings that changed: those that hold now, and those that need a restart."""

    applied: tuple[str, ...]
    restart_needed: tuple[str, ...]
