"""The settings of a running daemon: read again on SIGHUP, and told to whom they concern.

A setting that somebody registered for holds from a reload on; the others need a restart. A reload
whose sources have a fault changes nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

import structlog

from llmosd.config import Config
from llmosd.config_checks import ConfigError
from llmosd.config_sources import Loaded, Sources
from llmosd.sd_notify import notify, notify_reloading

_log = structlog.get_logger()
Apply = Callable[[Config], None]


class Reloaded(NamedTuple):
    """Names of settings that changed: those that hold now, and those that need a restart."""

    applied: list[str]
    restart: list[str]


class Settings:
    """What the daemon runs with."""

    def __init__(self, sources: Sources, loaded: Loaded) -> None:
        self._sources = sources
        self.loaded = loaded
        self._waiting: set[str] = set()
        self._applies: list[tuple[frozenset[str], Apply]] = []

    @property
    def config(self) -> Config:
        """What holds now."""
        return self.loaded.config

    @property
    def live(self) -> set[str]:
        """Names of the settings that a reload changes."""
        return {name for names, _ in self._applies for name in names}

    @property
    def waiting(self) -> set[str]:
        """Names of the settings whose sources say something that needs a restart."""
        return set(self._waiting)

    def register(self, *names: str, apply: Apply) -> None:
        """Call `apply` with the configuration when one of these settings has changed."""
        self._applies.append((frozenset(names), apply))

    def reload(self) -> Reloaded:
        """Read the sources again, and let what has changed hold.

        Raises:
            ConfigError: with every fault; everything stays as it was.
        """
        notify_reloading()
        try:
            return self._reload()
        except ConfigError as error:
            _log.error("config_not_reloaded", reason="; ".join(str(error).splitlines()))
            raise
        finally:
            notify("READY=1")

    def _reload(self) -> Reloaded:
        found = self._sources.load()
        names = Config.__struct_fields__
        new = {name for name in names if getattr(found.config, name) != getattr(self.config, name)}
        changed = new & self.live
        self._waiting = new - self.live
        # What needs a restart stays as it is, and is known by where it came from.
        values = {n: getattr(found.config if n in self.live else self.config, n) for n in names}
        origins = {n: (found if n not in self._waiting else self.loaded).origin(n) for n in names}
        self.loaded = Loaded(Config(**values), origins)
        for concerned, apply in self._applies:
            if concerned & changed:
                apply(self.config)
        done = Reloaded(sorted(changed), sorted(self._waiting))
        _log.info("config_reloaded", changed=done.applied, needs_restart=done.restart)
        return done
