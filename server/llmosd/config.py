"""The daemon's settings: defaults < TOML file < environment < flags; checked once, then fixed."""

import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

TENANT_NAME = r"[A-Za-z0-9._-]{1,64}"


class ConfigError(Exception):
    """A setting that cannot be used; the message names it and the fix. Exit status 78."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting, by the name it has in llmosd.toml; LLMOSD_<NAME> sets it, too.

    Attributes:
        state_dir: where models, catalog and operations are kept.
        cache_dir: compiled kernels; safe to delete.
        listen: "unix:PATH", or "HOST:PORT" with insecure_loopback.
        insecure_loopback: allow a TCP port of this machine, without any access control.
        log_level: "debug", "info", "warning" or "error".
        device: "auto", "cpu" or "cuda".
        threads: per engine; 0 takes every processor.
        kv_cache_bytes: per model; 0 takes a quarter of the free memory, 4 GiB at most.
        memory_limit_bytes: for the daemon and all its processes; 0: what the machine has.
        memory_reserve_bytes: what loading a model leaves free.
        max_sequences: answers that a model computes at once.
        max_queue: generations that wait for a model; more are refused.
        tenant_weights: a tenant's share of a model against another's; 1 where not named. In the
            environment, as JSON.
        step_tokens: tokens per step, prompts' chunks and decoding together.
        draft_tokens: tokens of an answer guessed ahead on a CPU, which changes no answer; 0: none.
        max_jobs: training and other jobs that run at once; more wait.
        spare_engine: keep a process ready for the next model; loading is faster by a second or two.
        keep_alive_seconds: idle time until a model is unloaded; negative: never.
        heartbeat_timeout_seconds: an engine silent for longer is killed and started again.
        load_timeout_seconds: the same while it loads.
        drain_seconds: how long running generations may go on when a model or the daemon stops.
        max_upload_bytes: of one model.
        max_dataset_bytes: of one upload of a dataset.
        feedback_retention_days: feedback that is older is deleted; 0: none is.
    """

    state_dir: str = ""
    cache_dir: str = ""
    listen: str = ""
    insecure_loopback: bool = False
    log_level: str = "info"
    device: str = "auto"
    threads: int = 0
    kv_cache_bytes: int = 0
    memory_limit_bytes: int = 0
    memory_reserve_bytes: int = 256 * 1024 * 1024
    max_sequences: int = 64
    max_queue: int = 256
    tenant_weights: dict[str, float] = {}
    step_tokens: int = 512
    draft_tokens: int = 8
    max_jobs: int = 1
    spare_engine: bool = True
    keep_alive_seconds: float = 300.0
    heartbeat_timeout_seconds: float = 10.0
    load_timeout_seconds: float = 300.0
    drain_seconds: float = 30.0
    max_upload_bytes: int = 64 * 1024**3
    max_dataset_bytes: int = 16 * 1024**3
    feedback_retention_days: float = 0.0

    @property
    def state(self) -> Path:
        """The state directory."""
        return Path(self.state_dir)


def load_config(
    file: str | None, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> Config:
    """Merge the sources, later over earlier; `flags` whose value is None were not given.

    Raises:
        ConfigError: unknown names, wrong types, values out of range.
    """
    merged = {**_from_file(file), **_from_environment(environment)}
    merged.update({name: value for name, value in flags.items() if value is not None})
    merged.setdefault("state_dir", _default_dir(environment, "STATE", ".local/state"))
    merged.setdefault("cache_dir", _default_dir(environment, "CACHE", ".cache"))
    try:
        config = msgspec.convert(merged, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"configuration: {error}") from None
    if not config.listen:
        runtime = environment.get("XDG_RUNTIME_DIR")
        folder = Path(runtime) / "llmos" if runtime else config.state
        config = msgspec.structs.replace(config, listen=f"unix:{folder / 'llmosd.sock'}")
    _check(config)
    return config


def _from_file(file: str | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(Path(file).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    names = {f"LLMOSD_{name.upper()}": name for name in Config.__struct_fields__}
    found: dict[str, Any] = {
        names[key]: value for key, value in environment.items() if key in names
    }
    if "tenant_weights" in found:
        try:
            found["tenant_weights"] = msgspec.json.decode(found["tenant_weights"])
        except msgspec.DecodeError as error:
            raise ConfigError(f'tenant_weights: as {{"name": 2.0}} in JSON: {error}') from None
    return found


def _default_dir(environment: Mapping[str, str], kind: str, below_home: str) -> str:
    """As systemd says under a unit, else as the XDG base directory specification says."""
    if f"{kind}_DIRECTORY" in environment:
        return environment[f"{kind}_DIRECTORY"].split(":")[0]
    base = environment.get(f"XDG_{kind}_HOME") or str(Path.home() / below_home)
    return str(Path(base) / "llmos")


def _check(config: Config) -> None:
    levels, devices = ("debug", "info", "warning", "error"), ("auto", "cpu", "cuda")
    positive = (
        "max_sequences",
        "step_tokens",
        "max_jobs",
        "heartbeat_timeout_seconds",
        "load_timeout_seconds",
    )
    not_negative = (
        "threads",
        "kv_cache_bytes",
        "memory_limit_bytes",
        "memory_reserve_bytes",
        "max_queue",
        "draft_tokens",
        "drain_seconds",
        "feedback_retention_days",
    )
    if config.log_level not in levels:
        raise ConfigError(f"log_level: {config.log_level!r} is not one of {', '.join(levels)}")
    if config.device not in devices:
        raise ConfigError(f"device: {config.device!r} is not one of {', '.join(devices)}")
    for name in positive:
        if not getattr(config, name) > 0:
            raise ConfigError(f"{name}: must be above 0")
    for name in not_negative:
        if not getattr(config, name) >= 0:
            raise ConfigError(f"{name}: must not be negative")
    for tenant, weight in config.tenant_weights.items():
        if not re.fullmatch(TENANT_NAME, tenant):
            raise ConfigError(f"tenant_weights: {tenant!r} is no tenant's name")
        if not (weight > 0 and math.isfinite(weight)):
            raise ConfigError(f"tenant_weights: {tenant}: must be above 0")
    _check_listen(config)


def _check_listen(config: Config) -> None:
    if config.listen.startswith("unix:"):
        path = config.listen.removeprefix("unix:")
        # The kernel's sun_path holds 108 bytes with the final NUL.
        if len(os.fsencode(path)) > 107:
            raise ConfigError(f"listen: a socket path has 107 bytes at most: {path}")
        return
    host, _, port = config.listen.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"listen: {config.listen!r} is neither unix:PATH nor HOST:PORT")
    if host not in ("127.0.0.1", "[::1]", "localhost"):
        raise ConfigError(f"listen: {host!r} is not this machine; only loopback ports are served")
    if not config.insecure_loopback:
        raise ConfigError(
            "listen: a TCP port has no access control; use unix:PATH, or add --insecure-loopback"
        )
