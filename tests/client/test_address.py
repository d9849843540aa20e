"""Where the client looks for its daemon."""

from pathlib import Path

import pytest

from llmos_client import InvalidAddressError
from llmos_client.address import parse, resolve


def test_given_beats_the_environment(tmp_path):
    environ = {"LLMOS_ADDRESS": "unix:/a/b.sock"}
    assert resolve("localhost:99", environ).target == "localhost:99"
    assert resolve(None, environ).socket == Path("/a/b.sock")
    assert resolve(None, environ).origin == "LLMOS_ADDRESS"


def test_the_session_socket_is_the_default(tmp_path):
    address = resolve(None, {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert address.socket == tmp_path / "llmos" / "llmosd.sock"


def test_without_a_session_it_is_the_state_folder(home, monkeypatch):
    monkeypatch.setattr("llmos_client.address.SYSTEM_SOCKET", home / "none.sock")
    assert str(resolve(None, {}).socket).endswith("home/.local/state/llmos/llmosd.sock")


def test_the_system_socket_is_used_where_only_it_exists(tmp_path, home, monkeypatch):
    system = tmp_path / "system.sock"
    system.touch()
    monkeypatch.setattr("llmos_client.address.SYSTEM_SOCKET", system)
    assert resolve(None, {"XDG_RUNTIME_DIR": str(tmp_path)}).socket == system
    assert resolve(None, {}).socket == system


@pytest.mark.parametrize("text", ["host:50051", "127.0.0.1:1", "[::1]:50051", "a-b.c:65535"])
def test_host_and_port(text):
    assert parse(text, "given").target == text


def test_relative_and_home_paths(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert parse("unix:x.sock", "given").socket == tmp_path / "x.sock"
    assert parse("unix:///x.sock", "given").target == "unix:/x.sock"
    assert "~" not in parse("unix:~/x.sock", "given").target


@pytest.mark.parametrize("text", ["host", "host:", ":50", "unix:", "http://x:1", "a b:1"])
def test_anything_else_is_refused(text):
    with pytest.raises(InvalidAddressError, match="neither unix:PATH nor HOST:PORT"):
        parse(text, "given")


def test_a_closed_folder_is_not_passed_over(home, monkeypatch):
    """Where the system's daemon may be, but one is not in its group, that is what one hears."""
    folder = home / "run"
    folder.mkdir()
    monkeypatch.setattr("llmos_client.address.SYSTEM_SOCKET", folder / "llmosd.sock")
    assert str(resolve(None, {}).socket).endswith("home/.local/state/llmos/llmosd.sock")
    # Root, who may run this, may enter every folder.
    monkeypatch.setattr("os.access", lambda path, _mode: path != folder)
    assert resolve(None, {}).socket == folder / "llmosd.sock"
