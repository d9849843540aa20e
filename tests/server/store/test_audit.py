"""The audit log's file: lines whole, on disk when they have to be, rotated by size."""

import json
import os

import pytest

from llmosd.store import audit
from llmosd.store.audit import AuditFile


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_added_and_private(tmp_path):
    for number in range(3):
        file = AuditFile(tmp_path)
        file.append({"n": number, "text": 'a "b"\nc'}, durable=True)
        file.close()
    assert [each["n"] for each in lines(tmp_path / "audit.jsonl")] == [0, 1, 2]
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o007 == 0


def test_a_torn_line_spoils_no_other(tmp_path):
    (tmp_path / "audit.jsonl").write_text('{"n": 1}\n{"n": ')
    file = AuditFile(tmp_path)
    file.append({"n": 2}, durable=False)
    file.close()
    found = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert found == ['{"n": 1}', '{"n": ', '{"n":2}']


@pytest.mark.parametrize(("durable", "syncs"), [(True, 1), (False, 0)])
def test_fsync(tmp_path, monkeypatch, durable, syncs):
    file, called = AuditFile(tmp_path), []
    monkeypatch.setattr(audit.os, "fsync", called.append)
    file.append({"n": 1}, durable=durable)
    assert len(called) == syncs
    file.close()


def test_rotation_keeps_the_newest(tmp_path):
    file = AuditFile(tmp_path, max_bytes=50, keep=3)
    for number in range(40):
        file.append({"number": number}, durable=False)
    file.close()
    names = sorted(os.listdir(tmp_path))
    assert names == ["audit.1.jsonl", "audit.2.jsonl", "audit.jsonl"]
    kept = [each["number"] for name in ("audit.2.jsonl", "audit.1.jsonl", "audit.jsonl") for each in lines(tmp_path / name)]  # fmt: skip
    assert kept == list(range(40 - len(kept), 40))
    assert all((tmp_path / name).stat().st_size <= 50 for name in names)


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"audit\.jsonl"):
        AuditFile(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
