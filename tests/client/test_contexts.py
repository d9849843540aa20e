"""Contexts: places to call, by name; who wins, who may read them, and what errors say."""

import json
import os
import tomllib

import pytest

from llmos_client.cli.completion import complete_context
from llmos_client.cli.main import run
from llmos_client.cli.options import Settings
from llmos_client.cli.placing import place
from llmos_client.contexts import location


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in ("LLMOS_ADDRESS", "LLMOS_TOKEN", "LLMOS_TLS_CA", "LLMOS_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "token").write_text("llmos_secret\n")
    return tmp_path


def add(home, name="prod", address="tls:llm.example:1", *more):
    words = ["context", "add", name, "--address", address, "--token-file", str(home / "token")]
    assert run([*words, *more]) == 0


def test_add_list_use_show_remove(home, capsys):
    add(home)
    add(home, "lab", "unix:/run/lab.sock", "--tenant", "me")
    assert location().stat().st_mode & 0o777 == 0o600
    assert "secret" not in location().read_text()
    capsys.readouterr()
    assert run(["context", "list", "-o", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["current"] == "prod"
    assert listed["contexts"]["lab"]["tenant"] == "me"
    assert run(["context", "use", "lab"]) == 0
    assert run(["context", "show"]) == 0
    shown = capsys.readouterr().out
    assert "unix:/run/lab.sock" in shown
    assert "secret" not in shown
    assert run(["context", "remove", "lab"]) == 0
    assert tomllib.loads(location().read_text()).keys() == {"contexts"}
    assert run(["context", "use", "prod"]) == 0
    assert run(["context", "use", "-"]) == 0
    assert place(Settings())["address"] is None


def test_a_change_keeps_the_rest(home):
    add(home)
    assert run(["context", "add", "prod", "--tls-ca", "ca.pem"]) == 0
    context = tomllib.loads(location().read_text())["contexts"]["prod"]
    assert context["address"] == "tls:llm.example:1"
    assert context["tls_ca"] == os.path.abspath("ca.pem")


def test_who_wins(home, monkeypatch):
    """Flags, environment, context, default."""
    assert place(Settings())["address"] is None
    add(home)
    assert place(Settings())["address"] == "tls:llm.example:1"
    assert place(Settings())["token"] == "llmos_secret"
    assert place(Settings(token="t"))["token"] == "t"
    monkeypatch.setenv("LLMOS_TOKEN", "from the environment")
    assert place(Settings())["token"] is None  # the client takes the variable
    monkeypatch.delenv("LLMOS_TOKEN")
    # Its token goes nowhere else.
    assert place(Settings(address="unix:/x"))["token"] is None
    monkeypatch.setenv("LLMOS_ADDRESS", "unix:/y")
    assert place(Settings())["token"] is None
    assert place(Settings())["address"] is None
    assert place(Settings(context="prod"))["address"] == "tls:llm.example:1"
    monkeypatch.setenv("LLMOS_CONTEXT", "prod")
    assert place(Settings())["address"] is None
    monkeypatch.delenv("LLMOS_ADDRESS")
    assert place(Settings())["address"] == "tls:llm.example:1"


def test_errors_name_the_context(home, capsys):
    add(home, "lab", f"unix:{home}/nobody.sock")
    assert run(["status"]) == 69
    assert 'The address comes from the context "lab"' in capsys.readouterr().err
    assert run(["status", "--context", "lap"]) == 2
    assert 'there is no context "lap"; there are: lab' in capsys.readouterr().err
    (home / "token").unlink()
    assert run(["status"]) == 78
    assert 'context "lab": token_file: ' in capsys.readouterr().err
    location().write_text("current = 3\n[contexts.x]\nadress = 'unix:/x'")
    assert run(["status"]) == 78
    assert 'context "x": adress: must be one of' in capsys.readouterr().err
    location().write_text("= 3")
    assert run(["context", "list"]) == 78


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add", "a b", "--address", "unix:/x"], "letters, digits"),
        (["add", "x"], "--address is needed"),
        (["add", "x", "--address", "unix:/x", "--token", "t"], "--token-file"),
        (["use", "nobody"], 'there is no context "nobody"'),
        (["remove", "nobody"], 'there is no context "nobody"'),
        (["show"], "no context is in use"),
    ],
)
def test_wrong_commands_change_nothing(words, says, capsys):
    assert run(["context", *words]) != 0
    assert says in capsys.readouterr().err
    assert not location().exists()


def test_completion(home):
    add(home, "prod")
    add(home, "lab")
    assert complete_context(None, None, "p") == ["prod"]
    location().write_text("= 3")
    assert complete_context(None, None, "p") == []
