"""llmos install --systemd: what is written for which installation, and what is refused."""

import sys
from pathlib import Path

import pytest

from llmos_client.cli import service_files
from llmos_client.cli.service_files import check_reachable, shipped_units
from llmos_client.errors import FeatureUnavailableError


def test_units_run_what_is_installed():
    """Every path into /opt/llmos becomes the prefix's; settings are kept where there are some."""
    files = service_files.service_files(Path("/srv/llm"), shipped_units())
    by_name = {each.path.name: each for each in files}
    assert (
        "ExecStart=/srv/llm/bin/llmosd --config /etc/llmos/llmosd.toml"
        in by_name["llmosd.service"].text
    )
    assert not any("/opt/llmos" in each.text for each in files)
    assert [each.path.name for each in files if each.keep] == ["llmosd.toml"]
    assert "llmos-learn@.timer" in by_name
    # An administrator's own units are elsewhere, and win.
    assert not any(each.path.is_relative_to("/etc/systemd") for each in files)


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """An installation in a folder that is neither hidden nor, as pytest's are, its user's alone."""
    monkeypatch.setattr(service_files, "_HIDDEN", ("/hidden",))
    may_enter = service_files._open
    ours = {tmp_path, *tmp_path.parents}
    monkeypatch.setattr(service_files, "_open", lambda path: path in ours or may_enter(path))
    folder = tmp_path / "prefix"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/llmosd").touch()
    return folder


def test_what_a_service_can_use(prefix):
    check_reachable(prefix, Path("/usr/bin/env"))


def test_what_it_cannot(prefix, tmp_path, monkeypatch):
    """Hidden, closed, or without a daemon: each is said, with the way out."""
    with pytest.raises(FeatureUnavailableError, match=r"no llmosd in .*python3 -m venv /opt/llmos"):
        check_reachable(tmp_path, Path(sys.executable))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python").touch(mode=0o755)
    with pytest.raises(FeatureUnavailableError, match=r"may not enter .*closed\."):
        check_reachable(prefix, closed / "python")
    monkeypatch.setattr(service_files, "_HIDDEN", (str(prefix),))
    with pytest.raises(FeatureUnavailableError, match="is hidden from it"):
        check_reachable(prefix, Path("/usr/bin/env"))
