"""Files are opened safely, and what goes wrong while sending is told."""

import hashlib
import os

import pytest
from fake_status import make_status

from llmos_client import InvalidModelFileError, UnsafeFileError
from llmos_client.upload import make_header, open_regular, read_files


def test_digest_and_size(tmp_path):
    file = tmp_path / "a.gguf"
    file.write_bytes(b"x" * 2_500_000)
    (local,) = read_files([file])
    assert local.byte_size == 2_500_000
    assert local.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    header = make_header("a", [local])
    assert header.files[0].digest == f"sha256:{local.sha256}"
    assert header.format == 1
    assert read_files([local]) == [local]


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "link.gguf").symlink_to("pipe.gguf")
    for name in ("pipe.gguf", "link.gguf"):
        with pytest.raises(UnsafeFileError, match="not a plain file"):
            open_regular(tmp_path / name)
    with pytest.raises(UnsafeFileError):
        open_regular(tmp_path)


def test_nothing_is_no_model():
    with pytest.raises(InvalidModelFileError):
        make_header("a", [])
    with pytest.raises(ValueError, match="is not one of float32, float16, bfloat16"):
        make_header("a", read_files([__file__]), dtype="int3")


def test_a_file_that_vanishes_is_told(client, daemon, tmp_path):
    file = tmp_path / "a.gguf"
    file.write_bytes(b"x" * 10)
    files = read_files([file])
    file.unlink()
    with pytest.raises(FileNotFoundError):
        client.upload_model("a", files)
    assert daemon.uploads == []


def test_a_refusal_of_the_daemon_is_its_error(client, daemon, tmp_path):
    file = tmp_path / "a.gguf"
    file.write_bytes(b"x" * 5_000_000)
    daemon.fail["UploadModel"] = make_status("RESOURCE_EXHAUSTED", "disk full", "INSUFFICIENT_DISK")
    with pytest.raises(Exception, match="disk full") as caught:
        client.upload_model("a", [file])
    assert caught.value.reason == "INSUFFICIENT_DISK"
