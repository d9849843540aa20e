"""Sentences and exit codes for what goes wrong."""

import json
import os
import socket

import pytest
from fake_status import make_status

from llmos_client.cli.options import Settings
from llmos_client.cli.problems import describe, exit_code
from llmos_client.errors import LlmosError, by_reason


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (("NOT_FOUND", "x", "MODEL_NOT_FOUND"), 1),
        (("INVALID_ARGUMENT", "x", "INVALID_FIELD"), 1),
        (("RESOURCE_EXHAUSTED", "x", "QUEUE_FULL"), 75),
        (("UNAVAILABLE", "x", "ENGINE_LOST"), 75),
        (("UNAVAILABLE", "x", "SERVER_DRAINING"), 75),
        (("ABORTED", "x", "OPERATION_IN_PROGRESS"), 75),
        (("UNAVAILABLE", "x"), 69),
        (("UNAUTHENTICATED", "x"), 77),
        (("PERMISSION_DENIED", "x"), 77),
        (("PERMISSION_DENIED", "x", "PATH_NOT_ALLOWED"), 77),
        (("INTERNAL", "x", "INTERNAL"), 1),
    ],
)
def test_exit_codes(cli, daemon, status, code):
    daemon.fail["GetServerInfo"] = make_status(*status)
    ran = cli("status")
    assert ran.code == code
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err


def test_every_reason_makes_a_sentence():
    settings = Settings(model="smollm2")
    for reason, kind in by_reason().items():
        error = kind("something is so", code="ABORTED", request_id="7f3a9b" * 5)
        text = describe(error, settings)
        assert text.startswith(f"error: something is so (ABORTED/{reason}).")
        assert "[request 7f3a9b7f…]" in text
        denied = reason in ("UNAUTHENTICATED", "PERMISSION_DENIED")
        assert exit_code(error, settings) in ((77,) if denied else (1, 75))


def test_violations_are_listed(cli, daemon):
    daemon.fail["StreamGenerate"] = make_status(
        "INVALID_ARGUMENT",
        "2 fields are wrong",
        "INVALID_FIELD",
        violations=[("sampling.top_p", "must be at most 1"), ("sampling.n", "too many")],
    )
    ran = cli("run", "smollm2", "x")
    assert "  sampling.top_p: must be at most 1\n  sampling.n: too many\n" in ran.err


def test_json_errors(cli, daemon):
    daemon.fail["GetServerInfo"] = make_status(
        "RESOURCE_EXHAUSTED", "full", "QUEUE_FULL", retry_after=2
    )
    ran = cli("status", "-o", "json")
    error = json.loads(ran.err)["error"]
    assert (error["reason"], error["exit_code"], error["retry_after"]) == ("QUEUE_FULL", 75, 2)
    assert len(error["request_id"]) == 32
    assert json.loads(cli("-o", "json", "load").err)["error"]["exit_code"] == 2


def test_usage(llmos):
    ran = llmos("serv")
    assert ran.code == 2
    assert "error: no such command: serv. Did you mean: llmos serve?" in ran.err
    ran = llmos("load")
    assert (ran.code, "error: Missing argument 'MODEL'." in ran.err) == (2, True)
    assert llmos("ps", "-o", "yaml").code == 2
    assert "Commands:" in llmos().err + llmos().out


def test_addresses_that_are_none(llmos, monkeypatch):
    ran = llmos("ps", "--address", "nonsense")
    assert ran.code == 2
    assert "neither unix:PATH nor HOST:PORT" in ran.err
    monkeypatch.setenv("LLMOS_ADDRESS", "nonsense")
    assert llmos("ps").code == 78


def test_the_address_may_come_before_or_after(daemon, llmos):
    assert llmos("--address", daemon.address, "list").code == 0
    assert llmos("list", "--address", daemon.address).code == 0


def test_nobody_there(llmos, home):
    ran = llmos("ps")
    assert ran.code == 69
    for part in (
        "no daemon answers at unix:",
        "state/llmos/llmosd.sock",
        "neither --address nor LLMOS_ADDRESS",
        "The socket does not exist",
        "Other usual places: /run/llmosd/llmosd.sock",
        "llmos serve",
        "systemctl start llmosd",
    ):
        assert part in ran.err


def test_a_socket_that_nobody_listens_on(llmos, home):
    path = home / "old.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    ran = llmos("ps", "--address", f"unix:{path}")
    assert ran.code == 69
    assert "comes from --address" in ran.err
    assert "but nobody listens on it any more" in ran.err
    assert "mode srw" in ran.err
    (home / "file").touch()
    assert "it is no socket" in llmos("ps", "--address", f"unix:{home}/file").err


def test_a_socket_of_others(llmos, home, monkeypatch):
    path = home / "theirs.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    ran = llmos("ps", "--address", f"unix:{path}")
    assert "you may not open it: ask to join the group" in ran.err


def test_a_port_that_nobody_listens_on(llmos, home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ran = llmos("status", "--address", f"127.0.0.1:{port}")
    assert ran.code == 69
    assert "gRPC says: failed to connect" in ran.err


def test_a_connection_that_breaks(cli, daemon):
    daemon.fail["GetServerInfo"] = make_status("UNAVAILABLE", "Socket closed")
    ran = cli("status")
    assert ran.code == 69
    assert "the connection to unix:" in ran.err
    assert "gRPC says: Socket closed" in ran.err


def test_version_without_a_daemon(llmos, home):
    ran = llmos("version")
    assert ran.code == 0
    assert "no daemon answers at" in ran.out
    assert llmos("version", "-o", "json").json["daemon"] is None


def test_serve_becomes_the_daemon(llmos, home, monkeypatch):
    became = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: became.append((path, arguments)))
    assert llmos("serve", "--listen", "unix:/x", "-o", "-h").code == 0
    path, arguments = became[0]
    assert path.endswith("/llmosd")
    assert arguments[1:] == ["--listen", "unix:/x", "-o", "-h"]
    assert llmos("--address", "unix:/x", "serve").code == 2


def test_serve_without_the_server_extra(llmos, monkeypatch):
    monkeypatch.setattr("llmos_client.cli.commands.serve._NEEDED", ("no_such_package",))
    ran = llmos("serve")
    assert ran.code == 1
    assert "pip install 'llmos[server]'" in ran.err


def test_completion_of_model_names(daemon, monkeypatch):
    import click

    from llmos_client.cli.completion import complete_catalogue, complete_model
    from llmos_client.cli.main import cli as group

    monkeypatch.setenv("LLMOS_ADDRESS", daemon.address)
    context = click.Context(group)
    assert complete_model(context, None, "smo") == ["smollm2"]
    assert complete_model(context, None, "x") == []
    monkeypatch.setenv("LLMOS_ADDRESS", "unix:/nonexistent/x.sock")
    assert complete_model(context, None, "smo") == []
    monkeypatch.setenv("LLMOS_ADDRESS", "nonsense")
    assert complete_model(context, None, "smo") == []
    assert complete_catalogue(context, None, "s") == ["smollm2"]


def test_the_shell_can_ask_for_completions(daemon, home, monkeypatch):
    import subprocess
    import sys

    code = "from llmos_client.cli.main import main; main()"
    environment = {
        **os.environ,
        "_LLMOS_COMPLETE": "bash_complete",
        "COMP_WORDS": "llmos run smo",
        "COMP_CWORD": "2",
        "LLMOS_ADDRESS": daemon.address,
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False
    )
    assert done.stdout == b"plain,smollm2\n"


def test_errors_without_a_reason():
    assert describe(LlmosError("x.", code="NOT_FOUND"), Settings()) == "error: x (NOT_FOUND)."
