"""What must hold of the settings beyond their types; each mistake is named, with the fix."""

import math
import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llmosd.roles import GRANTED

if TYPE_CHECKING:
    from llmosd.config import Config

TENANT_NAME = r"[A-Za-z0-9._-]{1,64}"
# Of a Unix socket: the kernel's sun_path holds 108 bytes with the final NUL.
_LONGEST_PATH = 107
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
_POSITIVE = (
    "max_sequences",
    "step_tokens",
    "max_jobs",
    "heartbeat_timeout_seconds",
    "load_timeout_seconds",
    "max_connections",
    "connection_idle_seconds",
    "stall_timeout_seconds",
)
_NOT_NEGATIVE = (
    "threads",
    "kv_cache_bytes",
    "memory_limit_bytes",
    "memory_reserve_bytes",
    "max_queue",
    "draft_tokens",
    "drain_seconds",
    "feedback_retention_days",
    "disk_quota_bytes",
)


class ConfigFault(NamedTuple):
    """What is wrong: in which file, variable or flag ("": none), with which setting ("": all)."""

    place: str
    name: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class ConfigError(Exception):
    """Settings that cannot be used; a line names each one and its fix. Exit status 78."""

    def __init__(self, *faults: ConfigFault) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def _wrong(name: str, text: str) -> ConfigError:
    return ConfigError(ConfigFault("", name, text))


Fault = tuple[str, str]
"""A setting's name, and what is wrong with it, with the fix."""


def faults(config: "Config") -> Iterator[Fault]:
    """Check them all; of the settings of one listener, the first fault that hides the others."""
    levels, devices = ("debug", "info", "warning", "error"), ("auto", "cpu", "cuda")
    if config.log_level not in levels:
        yield "log_level", f"{config.log_level!r} is not one of {', '.join(levels)}"
    if config.device not in devices:
        yield "device", f"{config.device!r} is not one of {', '.join(devices)}"
    for name in _POSITIVE:
        if not getattr(config, name) > 0:
            yield name, "must be above 0"
    for name in _NOT_NEGATIVE:
        if not getattr(config, name) >= 0:
            yield name, "must not be negative"
    yield from _tenant_faults(config)
    for check in (_check_listen, _check_use_listen, _check_tcp, _check_observing):
        try:
            check(config)
        except ConfigError as error:
            yield from ((fault.name, fault.text) for fault in error.faults)


def _tenant_faults(config: "Config") -> Iterator[Fault]:
    for tenant, weight in config.tenant_weights.items():
        if not re.fullmatch(TENANT_NAME, tenant):
            yield "tenant_weights", f"{tenant!r} is no tenant's name"
        if not (weight > 0 and math.isfinite(weight)):
            yield "tenant_weights", f"{tenant}: must be above 0"
    for tenant, quota in config.tenant_quotas.items():
        if tenant != "*" and not re.fullmatch(TENANT_NAME, tenant):
            yield "tenant_quotas", f"{tenant!r} is neither a tenant's name nor '*'"
        for name in ("generations", "tokens_per_minute"):
            if getattr(quota, name) < 0:
                yield "tenant_quotas", f"{tenant}: {name}: must not be negative"


def _check_listen(config: "Config") -> None:
    if config.listen.startswith("unix:"):
        _check_socket("listen", config.listen)
        return
    host = _host("listen", config.listen, "neither unix:PATH nor HOST:PORT")
    if host not in _LOOPBACK:
        raise _wrong(
            "listen",
            f"{host!r} is not this machine; only loopback ports are served; "
            "other machines come by tcp_listen, with tls_cert and tls_key",
        )
    if not config.insecure_loopback:
        raise _wrong(
            "listen",
            "a TCP port has no access control; use unix:PATH, or tcp_listen with tls_cert "
            "and tls_key, or add --insecure-loopback",
        )


def _check_use_listen(config: "Config") -> None:
    if not config.use_listen:
        return
    if not config.use_listen.startswith("unix:"):
        raise _wrong("use_listen", f"{config.use_listen!r} is not unix:PATH")
    _check_socket("use_listen", config.use_listen)
    if config.use_listen == config.listen:
        raise _wrong("use_listen", "is the same socket as listen, which serves every role")


def _check_tcp(config: "Config") -> None:
    if config.tcp_role not in GRANTED:
        raise _wrong("tcp_role", f"{config.tcp_role!r} is not one of {', '.join(GRANTED)}")
    for name, grant in config.certificates.items():
        if grant.role not in GRANTED:
            raise _wrong(
                "certificates", f"{name}: role: {grant.role!r} is not one of {', '.join(GRANTED)}"
            )
        if not re.fullmatch(TENANT_NAME, grant.tenant):
            raise _wrong("certificates", f"{name}: tenant: {grant.tenant!r} is no tenant's name")
    if config.certificates and not config.tls_client_ca:
        raise _wrong(
            "certificates", "nobody's certificate is asked for without tls_client_ca; set it"
        )
    if not config.tcp_listen:
        return
    _host("tcp_listen", config.tcp_listen, "not HOST:PORT")
    if not (config.tls_cert and config.tls_key):
        raise _wrong(
            "tcp_listen",
            "tokens and prompts would cross the network in the clear; set tls_cert and "
            "tls_key (llmos certs init makes them), and leave tcp_listen out without them",
        )
    _check_files(config)


def _check_observing(config: "Config") -> None:
    address = config.metrics_listen
    if address.startswith("unix:"):
        _check_socket("metrics_listen", address)
        if address in (config.listen, config.use_listen):
            raise _wrong("metrics_listen", "is a socket that gRPC listens on; choose another")
    elif address:
        host = _host("metrics_listen", address, "neither unix:PATH nor HOST:PORT")
        if host not in _LOOPBACK:
            raise _wrong(
                "metrics_listen",
                f"{host!r} is not this machine; the endpoint has neither TLS nor access control: "
                "put a proxy in front of it, or write llmos metrics to a file",
            )
    endpoint = config.otlp_endpoint
    if endpoint and not re.fullmatch(r"https?://[^/\s]+|unix:/.+", endpoint):
        raise _wrong(
            "otlp_endpoint",
            f"{endpoint!r} is none of http://HOST:PORT, https://HOST:PORT and unix:PATH",
        )


def _check_files(config: "Config") -> None:
    for name in ("tls_cert", "tls_key", "tls_client_ca"):
        path = getattr(config, name)
        try:
            if path:
                Path(path).read_bytes()
        except OSError as error:
            raise _wrong(name, f"{path}: {error.strerror}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key, password="")
    except (ssl.SSLError, OSError, ValueError):
        raise _wrong(
            "tls_cert",
            f"{config.tls_cert} and tls_key: {config.tls_key} are not a certificate in "
            "PEM and its key without a password",
        ) from None
    try:
        if config.tls_client_ca:
            context.load_verify_locations(config.tls_client_ca)
    except ssl.SSLError:
        raise _wrong("tls_client_ca", f"{config.tls_client_ca} has no certificate in PEM") from None


def _check_socket(name: str, address: str) -> None:
    path = address.removeprefix("unix:")
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise _wrong(name, f"a socket path has 107 bytes at most: {path}")


def _host(name: str, address: str, wanted: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise _wrong(name, f"{address!r} is {wanted}")
    return host
