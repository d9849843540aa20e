"""What the tests of access need: a daemon with every plane, certificates, and who calls how."""

from contextlib import contextmanager

import grpc

from daemon import DaemonProcess
from llmos_client import Client, LlmosError
from llmos_client.cli.certificates import make_certificates


def daemon_with_planes(folder, *, client_ca=None, **settings):
    """A daemon with a manage socket, a use socket and a TLS port."""
    make_certificates(folder / "certs", ["localhost", "127.0.0.1"], "web-1")
    daemon = DaemonProcess(
        folder,
        use_listen=f"unix:{folder}/u.sock",
        tcp_listen="127.0.0.1:0",
        tls_cert=folder / "certs" / "server.pem",
        tls_key=folder / "certs" / "server-key.pem",
        **({"tls_client_ca": client_ca} if client_ca else {}),
        **settings,
    )
    ready = daemon.logged(event="ready")
    daemon.use_address, daemon.tcp_address = ready["use_address"], ready["tcp_address"]
    daemon.certs = folder / "certs"
    return daemon


def over_tls(daemon, token="", **options):
    """A client of the TLS port, who knows the daemon's CA."""
    options = {"tls_ca": str(daemon.certs / "ca.pem"), **options}
    return Client(daemon.tcp_address, token=token, timeout=5.0, **options)


def outcome(call, *arguments, **options):
    """How a call ended: OK, or code and reason."""
    try:
        call(*arguments, **options)
    except LlmosError as error:
        return error.label
    return "OK"


@contextmanager
def raw_tls(daemon, **pair):
    """A bare channel to the TLS port."""
    credentials = grpc.ssl_channel_credentials((daemon.certs / "ca.pem").read_bytes(), **pair)
    target = daemon.tcp_address.removeprefix("tls:")
    with grpc.secure_channel(target, credentials) as channel:
        yield channel
