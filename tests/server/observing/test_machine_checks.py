"""What doctor says of a machine: certificates, threads, processor, disk."""

from datetime import UTC, datetime, timedelta

import pytest

from llmos_client.cli import certificates
from llmosd.config import Config
from llmosd.observing import machine_checks
from llmosd.observing.certificate import expiry


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes a certificate that holds for so many days."""

    def make(days):
        monkeypatch.setattr(certificates, "_CERTIFICATE_DAYS", days)
        certificates.make_certificates(tmp_path, ["llm.example"], "client")
        return tmp_path / "server.pem", tmp_path / "server-key.pem"

    return make


@pytest.mark.parametrize(
    ("days", "result"), [(397, "OK"), (31, "OK"), (29, "WARNING"), (-2, "PROBLEM")]
)
def test_expiry(made, days, result):
    """To the second; one that is over can be read, too. Doctor warns a month before."""
    certificate, key = made(days) if days > 0 else over(made)
    end = expiry(certificate, key)
    if days > 0:
        assert abs(end - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=1)
    check = machine_checks._certificate(certificate, key)
    assert check.result == result
    assert bool(check.fix) == (result != "OK")
    assert end.strftime("%Y-%m-%d") in check.message


def over(made):
    """A certificate that has ended: they are dated an hour back, so half an hour ago it did."""
    return made(-0.02)


def test_files_that_are_no_certificate(tmp_path, made):
    """Are a problem, not a crash; a certificate with another's key, too."""
    certificate, _ = made(30)
    other = tmp_path / "other"
    certificates.make_certificates(other, ["llm.example"], "client")
    for key in (tmp_path / "none.pem", certificate, other / "server-key.pem"):
        assert machine_checks._certificate(certificate, key).result == "PROBLEM"


def test_threads_beyond_the_quota(monkeypatch):
    """A control group that allows less than the threads want is named."""
    monkeypatch.setattr("llmosd.device.cpu_count", lambda: 8)
    for quota, threads, result in (
        (None, 8, "OK"), (None, 9, "WARNING"), (2.0, 8, "WARNING"), (2.0, 2, "OK"), (1.5, 2, "OK"),
    ):  # fmt: skip
        monkeypatch.setattr("llmosd.device.cpu_quota", lambda quota=quota: quota)
        check = machine_checks._threads(Config(threads=threads))
        assert check.result == result, (quota, threads)


@pytest.mark.parametrize(
    ("flags", "result", "says"),
    [
        ("fma avx2 f16c avx512_vnni amx_tile amx_int8 amx_bf16", "OK", "AMX"),
        ("fma avx2 f16c avx512_vnni", "OK", "int8 and int4 by AVX512-VNNI"),
        ("fma avx2 f16c", "OK", "AVX2"),
        ("avx2", "WARNING", "slow"),
        ("", "WARNING", "slow"),
    ],
)
def test_processor(monkeypatch, flags, result, says):
    monkeypatch.delenv("LLMOS_DOT", raising=False)
    monkeypatch.setattr("llmosd.device.cpu_flags", lambda: frozenset(flags.split()))
    check = machine_checks._processor()
    assert check.result == result
    assert says in check.message


@pytest.mark.parametrize(("free", "result"), [(50, "OK"), (9, "WARNING"), (4, "PROBLEM")])
def test_disk(monkeypatch, tmp_path, free, result):
    usage = type("Usage", (), {"free": free << 30, "total": 100 << 30, "used": 0})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert machine_checks._state_disk(tmp_path).result == result
