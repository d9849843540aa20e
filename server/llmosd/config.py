"""The daemon's settings: defaults < TOML file < environment < flags; checked once, then fixed."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from llmosd.config_checks import ConfigError, check


class CertificateGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who comes with a certificate: a role, and the tenant for whom its calls are made."""

    role: str
    tenant: str


class TenantQuota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one tenant may ask for; 0: no limit."""

    generations: int = 0
    tokens_per_minute: int = 0


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting, by the name it has in llmosd.toml; LLMOSD_<NAME> sets it, too.

    Attributes:
        state_dir: where models, catalog and operations are kept.
        cache_dir: compiled kernels; safe to delete.
        listen: "unix:PATH", or "HOST:PORT" with insecure_loopback; serves every role.
        insecure_loopback: allow a TCP port of this machine, without any access control.
        use_listen: "unix:PATH" of a second socket, that serves the role use only; "": none.
        tcp_listen: "HOST:PORT" for callers with a token or a certificate, by TLS only; "": none.
        tcp_role: the highest role that tcp_listen serves: "use", "manage" or "admin".
        tcp_reflection: say on tcp_listen, too, which services there are.
        tls_cert: file of the certificate, and of those it was made by, of tcp_listen.
        tls_key: file of its key.
        tls_client_ca: file of who makes clients' certificates; then each client has to have one.
        certificates: who has a certificate of a name, its SAN or CN. In the environment, as JSON.
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
        tenant_quotas: generations at once, and tokens per minute, that a tenant may ask for; "*"
            is every other tenant. In the environment, as JSON.
        step_tokens: tokens per step, prompts' chunks and decoding together.
        draft_tokens: tokens of an answer guessed ahead on a CPU, which changes no answer; 0: none.
        max_jobs: training and other jobs that run at once; more wait.
        spare_engine: keep a process ready for the next model; loading is faster by a second or two.
        keep_alive_seconds: idle time until a model is unloaded; negative: never.
        heartbeat_timeout_seconds: an engine silent and idle for longer is killed and started again;
            one that computes after six times as long.
        load_timeout_seconds: the same while it loads.
        drain_seconds: how long running generations may go on when a model or the daemon stops.
        max_upload_bytes: of one model.
        max_dataset_bytes: of one upload of a dataset.
        feedback_retention_days: feedback that is older is deleted; 0: none is.
        metrics_listen: "unix:PATH" or "HOST:PORT" of this machine, for GET /metrics; "": none.
        otlp_endpoint: "http://HOST:PORT", "https://HOST:PORT" or "unix:PATH" of a collector of
            traces, by OTLP over gRPC; "": none.
        log_prompts: write what people ask, and what is answered, into the log.
    """

    state_dir: str = ""
    cache_dir: str = ""
    listen: str = ""
    insecure_loopback: bool = False
    use_listen: str = ""
    tcp_listen: str = ""
    tcp_role: str = "use"
    tcp_reflection: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    certificates: dict[str, CertificateGrant] = {}
    log_level: str = "info"
    device: str = "auto"
    threads: int = 0
    kv_cache_bytes: int = 0
    memory_limit_bytes: int = 0
    memory_reserve_bytes: int = 256 * 1024 * 1024
    max_sequences: int = 64
    max_queue: int = 256
    tenant_weights: dict[str, float] = {}
    tenant_quotas: dict[str, TenantQuota] = {}
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
    metrics_listen: str = ""
    otlp_endpoint: str = ""
    log_prompts: bool = False

    @property
    def state(self) -> Path:
        """The state directory."""
        return Path(self.state_dir)


_MAPPINGS = {
    "tenant_weights": '{"name": 2.0}',
    "tenant_quotas": '{"name": {"generations": 4, "tokens_per_minute": 6000}}',
    "certificates": '{"name": {"role": "use", "tenant": "name"}}',
}


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
    check(config)
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
    for name, example in _MAPPINGS.items():
        if name in found:
            try:
                found[name] = msgspec.json.decode(found[name])
            except msgspec.DecodeError as error:
                raise ConfigError(f"{name}: as {example} in JSON: {error}") from None
    return found


def _default_dir(environment: Mapping[str, str], kind: str, below_home: str) -> str:
    """As systemd says under a unit, else as the XDG base directory specification says."""
    if f"{kind}_DIRECTORY" in environment:
        return environment[f"{kind}_DIRECTORY"].split(":")[0]
    base = environment.get(f"XDG_{kind}_HOME") or str(Path.home() / below_home)
    return str(Path(base) / "llmos")
