import os
import socket
import time
from pathlib import Path

import pytest

from llmosd.errors import DataCorrupt, UnsafeFile
from llmosd.store.files import open_folder, open_regular, read_regular, write_durably


def test_writes_whole_files_and_leaves_nothing_else(tmp_path):
    write_durably(tmp_path, "a.json", b"one")
    write_durably(tmp_path, "a.json", b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert read_regular(tmp_path, "a.json", 3) == b"two"


def test_syncs_the_file_before_its_name_and_then_the_folder(tmp_path, monkeypatch):
    calls = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (calls.append(str(Path(f"/proc/self/fd/{fd}").readlink())), fsync(fd)),
    )
    monkeypatch.setattr(os, "rename", lambda *a, **k: (calls.append("rename"), rename(*a, **k)))
    write_durably(tmp_path, "a", b"x")
    assert calls[0].startswith(str(tmp_path / ".a."))
    assert calls[1:] == ["rename", str(tmp_path)]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    write_durably(tmp_path, "a", b"old")

    def broken(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        write_durably(tmp_path, "a", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def symlink(path):
    (path.parent / "target").write_bytes(b"secret")
    path.symlink_to(path.parent / "target")


def hard_link(path):
    (path.parent / "target").write_bytes(b"secret")
    path.hardlink_to(path.parent / "target")


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (symlink, '"f" is a symbolic link'),
        (hard_link, 'file "f" has a second name'),
        (os.mkfifo, '"f" is not a regular file'),
        (os.mkdir, '"f" is not a regular file'),
        (unix_socket, '"f" is not what belongs there'),
        (lambda path: path.symlink_to("/dev/zero"), '"f" is a symbolic link'),
        (lambda path: path.symlink_to("missing"), '"f" is a symbolic link'),
    ],
)
def test_opens_regular_files_only_and_never_waits(tmp_path, make, message):
    make(tmp_path / "f")
    start = time.monotonic()
    with pytest.raises(UnsafeFile, match=message):
        open_regular(tmp_path, "f")
    assert time.monotonic() - start < 0.1


@pytest.mark.skipif(os.geteuid() != 0, reason="a device file needs root")
def test_a_device_is_unsafe(tmp_path):
    try:
        os.mknod(tmp_path / "f", 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no devices in this sandbox")
    with pytest.raises(UnsafeFile, match="not"):
        open_regular(tmp_path, "f")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\0b", "/etc/passwd"])
def test_takes_plain_names_only(tmp_path, name):
    with pytest.raises(UnsafeFile, match="not a plain file name"):
        open_regular(tmp_path, name)


def test_a_linked_folder_on_the_way_is_unsafe(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UnsafeFile, match='"link"'), open_folder(tmp_path, "link"):
        pass
    with open_folder(tmp_path, "real") as fd, pytest.raises(FileNotFoundError):
        open_regular(fd, "a")


def test_no_descriptor_is_left_open(tmp_path):
    os.mkfifo(tmp_path / "f")
    (tmp_path / "g").write_bytes(b"x" * 10)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(UnsafeFile):
            open_regular(tmp_path, "f")
        with pytest.raises(DataCorrupt, match="longer than 9 bytes"):
            read_regular(tmp_path, "g", 9)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
