"""The daemon's settings: defaults < TOML file < environment < flags; checked before they hold."""

from pathlib import Path

import msgspec


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
        disk_quota_bytes: of the state directory; what does not fit is refused up front. 0: no
            limit but the disk.
        max_upload_bytes: of one model.
        max_dataset_bytes: of one upload of a dataset.
        max_connections: of clients, per listener; more are refused.
        connection_idle_seconds: a connection without a call for so long is closed.
        stall_timeout_seconds: a stream whose reader takes nothing, or whose sender sends next to
            nothing, for so long is ended; Converse may be silent.
        feedback_retention_days: feedback that is older is deleted; 0: none is.
        metrics_listen: "unix:PATH" or "HOST:PORT" of this machine, for GET /metrics; "": none.
        otlp_endpoint: "http://HOST:PORT", "https://HOST:PORT" or "unix:PATH" of a collector of
            traces, by OTLP over gRPC; "": none.
        log_prompts: write what people ask, and what is answered, into the log.
        content_policy: what reads prompts and answers: "rules", or the name of one that a package
            adds; "": nothing does.
        content_policy_file: its file; of "rules", a TOML file of rules.
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
    disk_quota_bytes: int = 0
    max_upload_bytes: int = 64 * 1024**3
    max_dataset_bytes: int = 16 * 1024**3
    max_connections: int = 512
    connection_idle_seconds: float = 300.0
    stall_timeout_seconds: float = 30.0
    feedback_retention_days: float = 0.0
    metrics_listen: str = ""
    otlp_endpoint: str = ""
    log_prompts: bool = False
    content_policy: str = ""
    content_policy_file: str = ""

    @property
    def state(self) -> Path:
        """The state directory."""
        return Path(self.state_dir)
