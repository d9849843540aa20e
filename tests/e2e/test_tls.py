"""TLS: who has which certificate, and new certificates under running streams (T23, T24, T29)."""

import json
import shutil
import socket
import ssl
import subprocess
import sys
from itertools import takewhile

import pytest

from daemon import wait_for
from e2e_access import daemon_with_planes, outcome, over_tls
from factory import tiny_llama_folder
from llmos_client import Client, Completed, Finished, InvalidCredentialsError, LlmosError
from llmos_client.cli.certificates import make_certificates

PAIR = {"tls_cert": "client.pem", "tls_key": "client-key.pem"}
DENIED = "PERMISSION_DENIED/PERMISSION_DENIED"


def pair(folder):
    return {key: str(folder / name) for key, name in PAIR.items()}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """Every client needs a certificate; web-1's is known, and serves no more than use."""
    folder = tmp_path_factory.mktemp("mtls")
    daemon = daemon_with_planes(
        folder,
        client_ca=folder / "certs" / "ca.pem",
        tcp_role="manage",
        certificates=json.dumps({"web-1": {"role": "use", "tenant": "web"}}),
    )
    daemon.install("tiny", tiny_llama_folder(tmp_path_factory.mktemp("tiny")))
    daemon.load("tiny")
    yield daemon
    daemon.stop()


def test_a_certificate_is_who_its_bearer_is(daemon):
    with over_tls(daemon, **pair(daemon.certs)) as client:
        assert outcome(client.generate, "tiny", "hello", max_tokens=1) == "OK"
        assert outcome(client.unload_model, "tiny") == DENIED
    with over_tls(daemon, **pair(daemon.certs), tenant="victim") as client:
        assert outcome(client.list_models) == DENIED
    with over_tls(daemon, **pair(daemon.certs), tenant="web") as client:
        assert outcome(client.list_models) == "OK"
    lines = (daemon.folder / "state" / "audit.jsonl").read_text().splitlines()
    assert {json.loads(line)["caller"] for line in lines[-2:]} == {"certificate:web-1"}


def test_a_token_by_a_certificate_s_connection_counts(daemon):
    with daemon.client() as client:
        secret = client.create_token("boss", "admin").secret
    with over_tls(daemon, secret, **pair(daemon.certs)) as client:
        assert outcome(client.list_operations) == "OK"
        with pytest.raises(LlmosError, match="serves the role manage at most"):
            client.list_tokens()


def test_other_certificates(daemon, tmp_path):
    """None, and another CA's: no connection. A name that nobody mapped: UNAUTHENTICATED."""
    make_certificates(tmp_path / "other", ["localhost"], "web-1")
    shutil.copytree(daemon.certs, tmp_path / "same")
    make_certificates(tmp_path / "same", ["localhost"], "web-2")
    with daemon.client() as client:
        secret = client.create_token("certless", "use").secret
    wrong = {"none": {}, "other CA": pair(tmp_path / "other")}
    found = {}
    for name, files in wrong.items():
        with over_tls(daemon, secret, **files) as client:
            found[name] = outcome(client.list_models)
    assert found == dict.fromkeys(wrong, "UNAVAILABLE")
    with over_tls(daemon, **pair(tmp_path / "same")) as client:
        with pytest.raises(LlmosError, match="none of the certificate's names") as caught:
            client.list_models()
        assert caught.value.code == "UNAUTHENTICATED"
    with over_tls(daemon, **pair(daemon.certs)) as client:
        assert outcome(client.list_models) == "OK"


def test_the_client_checks_the_daemon(daemon, tmp_path):
    """Another CA's daemon is not spoken to; nor is one spoken to in the clear."""
    make_certificates(tmp_path, ["localhost"], "web-1")
    with over_tls(daemon, tls_ca=str(tmp_path / "ca.pem"), **pair(daemon.certs)) as client:
        assert outcome(client.list_models) == "UNAVAILABLE"
    with Client(daemon.tcp_address.removeprefix("tls:"), timeout=3.0) as client:
        assert outcome(client.list_models).startswith(("UNAVAILABLE", "DEADLINE_EXCEEDED"))


def certificate_of(daemon):
    """What the TLS port greets with: its certificate's serial number, whoever comes."""
    host, port = daemon.tcp_address.removeprefix("tls:").split(":")
    context = ssl.create_default_context(cafile=daemon.certs / "ca.pem")
    context.load_cert_chain(daemon.certs / "client.pem", daemon.certs / "client-key.pem")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return secured.getpeercert()["serialNumber"]


def answered(stream, events, generation_id):
    """Ask on a stream; how the answer finished."""
    stream.start(generation_id, "tiny", "hello", max_tokens=3, ignore_eos=True)
    mine = list(takewhile(lambda event: not isinstance(event, Completed), events))
    return [event.finish_reason for event in mine if isinstance(event, Finished)]


def test_certificates_are_renewed_under_running_streams(daemon, tmp_path):
    """T24: the next handshake has the new one, the stream goes on; half a pair changes nothing."""
    before = certificate_of(daemon)
    assert certificate_of(daemon) == before
    with over_tls(daemon, **pair(daemon.certs)) as client, client.converse() as stream:
        events = iter(stream)
        assert answered(stream, events, "before") == ["max_tokens"]
        server_key = daemon.certs / "server-key.pem"
        key = server_key.read_bytes()
        make_certificates(tmp_path, ["localhost"], "x")
        server_key.write_bytes((tmp_path / "server-key.pem").read_bytes())
        assert certificate_of(daemon) == before
        daemon.logged(event="certificate_not_read")
        server_key.write_bytes(key)
        make_certificates(daemon.certs, ["localhost", "127.0.0.1"], "web-1")
        wait_for(lambda: certificate_of(daemon) != before, 5)
        assert answered(stream, events, "after") == ["max_tokens"]  # on the stream that was there
    with over_tls(daemon, **pair(daemon.certs)) as client:
        assert outcome(client.list_models) == "OK"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"listen": "0.0.0.0:0"}, "tcp_listen, with tls_cert and tls_key"),
        ({"listen": "127.0.0.1:0"}, "no access control"),
        ({"tcp_listen": "0.0.0.0:0"}, "set tls_cert and tls_key"),
        ({"tcp_listen": "0.0.0.0:0", "tls_cert": "server.pem"}, "set tls_cert and tls_key"),
        ({"tcp_listen": "0.0.0.0:0", "tls_cert": "none.pem", "tls_key": "server-key.pem"}, "none.pem"),
        ({"tcp_listen": "0.0.0.0:0", "tls_cert": "server.pem", "tls_key": "client-key.pem"}, "are not a certificate in PEM and its key"),
        ({"tcp_listen": "8470", "tls_cert": "server.pem", "tls_key": "server-key.pem"}, "not HOST:PORT"),
        ({"tcp_role": "root"}, "tcp_role: 'root' is not one of use, manage, admin"),
        ({"use_listen": "127.0.0.1:0"}, "use_listen: '127.0.0.1:0' is not unix:PATH"),
        ({"certificates": '{"a": {"role": "use", "tenant": "t"}}'}, "tls_client_ca; set it"),
        ({"certificates": '{"a": {"role": "king", "tenant": "t"}}'}, "certificates: a: role"),
        ({"certificates": '{"a": {"role": "use"}}'}, "tenant"),
        ({"certificates": "a=use"}, "certificates: as"),
    ],
)  # fmt: skip
def test_it_does_not_start_half_open(daemon, tmp_path, settings, says):
    """T29: exit 78, one line that names the setting."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)}
    for name, value in settings.items():
        is_file = value.endswith(".pem")
        environment[f"LLMOSD_{name.upper()}"] = str(daemon.certs / value) if is_file else value
    command = [sys.executable, "-m", "llmosd", "--state-dir", str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=20)
    assert (done.returncode, done.stderr.count("\n")) == (78, 1), done.stderr
    assert says in done.stderr
    assert not (tmp_path / "state" / "catalog.db").exists()


def test_what_certs_init_makes(tmp_path):
    """Keys for the owner only; OpenSSL believes the chain; a second time the CA stays."""
    first = make_certificates(tmp_path / "c", ["llm.example", "10.0.0.1"], "web-1")
    assert len(first) == 6
    for path in first:
        assert path.stat().st_mode & 0o777 == (0o600 if "key" in path.name else 0o644)
    assert (tmp_path / "c").stat().st_mode & 0o077 == 0
    ca = (tmp_path / "c" / "ca.pem").read_bytes()
    server = (tmp_path / "c" / "server.pem").read_bytes()
    assert len(make_certificates(tmp_path / "c", ["llm.example"], "web-1")) == 4
    assert (tmp_path / "c" / "ca.pem").read_bytes() == ca
    assert (tmp_path / "c" / "server.pem").read_bytes() != server
    (tmp_path / "c" / "ca.pem").write_text("nonsense")
    with pytest.raises(LlmosError, match="not a CA in PEM"):
        make_certificates(tmp_path / "c", ["llm.example"], "web-1")
    for name in ("", "a\nb", "ä", "x" * 65):
        with pytest.raises(LlmosError, match="1 to 64 printable"):
            make_certificates(tmp_path / "d", [name], "web-1")


def test_what_a_client_does_not_send_in_the_clear(tmp_path):
    with pytest.raises(InvalidCredentialsError, match=r"tls:far\.example:1"):
        Client("far.example:1", token="llmos_x")
    Client("127.0.0.1:1", token="llmos_x").close()
    Client("tls:far.example:1", token="llmos_x").close()
    with pytest.raises(InvalidCredentialsError, match="come together"):
        Client("tls:a:1", tls_cert=__file__)
    with pytest.raises(InvalidCredentialsError, match="No such file"):
        Client("tls:a:1", tls_ca=str(tmp_path / "none"))
    with pytest.raises(InvalidCredentialsError, match="characters that no token has"):
        Client("tls:a:1", token="a\nb")
