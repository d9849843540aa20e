"""What the daemon finds of its machine: disk, caches, processors, memory, certificates, systemd."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from llmosd import device
from llmosd.config import Config
from llmosd.observing.certificate import expiry
from llmosd.observing.check import Check, ok, problem, warning
from llmosd.supervisor.launcher import kernel_cache

# As imports do: what is kept free of the state directory's disk.
_RESERVE = 0.05
_LOW = 0.10
_SOON_DAYS = 30


def machine_checks(config: Config) -> Iterator[Check]:
    """Each look takes milliseconds; nothing is changed."""
    yield _state_disk(config.state)
    yield _kernel_cache(Path(config.cache_dir))
    yield _threads(config)
    yield _processor()
    yield _openmp()
    yield _memory(config)
    if config.tls_cert:
        yield _certificate(Path(config.tls_cert), Path(config.tls_key))
    yield _service()
    yield _access(config)


def _state_disk(state: Path) -> Check:
    disk = shutil.disk_usage(state)
    share = disk.free / disk.total
    found = f"{disk.free >> 20} MiB ({share:.0%}) of the disk of {state} are free"
    fix = "llmos list, then llmos rm what is not needed; or move state_dir to a larger disk"
    if not os.access(state, os.W_OK):
        return problem("state-disk", f"{state} cannot be written", "look at its owner and mount")
    if share < _RESERVE:
        return problem("state-disk", f"{found}; imports and jobs stop below 5%", fix)
    return warning("state-disk", found, fix) if share < _LOW else ok("state-disk", found)


def _kernel_cache(cache: Path) -> Check:
    try:
        folder = kernel_cache(cache)
        warm = any(folder.rglob("*.nbc"))
    except OSError as error:
        return problem("kernel-cache", f"{cache}: {error.strerror}", "set cache_dir")
    if not os.access(folder, os.W_OK):
        return warning(
            "kernel-cache",
            f"{folder} cannot be written: each load compiles anew, for up to a minute",
            "look at its owner, or set cache_dir",
        )
    if not warm:
        return warning(
            "kernel-cache",
            f"{folder} is empty: the first load compiles, for up to a minute",
            "nothing, if no model was loaded yet",
        )
    return ok("kernel-cache", f"compiled kernels are in {folder}")


def _threads(config: Config) -> Check:
    processors, quota = device.cpu_count(), device.cpu_quota()
    threads = config.threads or processors
    found = f"{threads} threads per model, {processors} processors"
    if quota is not None:
        found += f", of which the control group allows {quota:g}"
    most = processors if quota is None else min(processors, quota)
    if threads > most + 0.99:
        fix = f"set threads = {max(int(most), 1)}, or raise CPUQuota"
        return warning("threads", f"{found}: threads wait for each other", fix)
    return ok("threads", found)


def _processor() -> Check:
    flags, forced = device.cpu_flags(), os.environ.get("LLMOS_DOT")
    if forced:
        fix = "take LLMOS_DOT out of the daemon's environment, unless it is meant"
        return warning("processor", f"LLMOS_DOT asks for {forced} instructions", fix)
    if {"avx512_vnni", "amx_int8", "amx_bf16", "amx_tile"} <= flags:
        return ok("processor", "int8 and attention by AMX, int4 by AVX512-VNNI")
    if "avx512_vnni" in flags:
        return ok("processor", "int8 and int4 by AVX512-VNNI")
    if {"avx2", "fma", "f16c"} <= flags:
        return ok("processor", "int8 and int4 by AVX2")
    return warning(
        "processor",
        "neither AVX512-VNNI nor AVX2: int8 and int4 are slow here",
        "a newer processor; in a virtual machine, pass the host's through; no ProcSubset=pid",
    )


def _openmp() -> Check:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return problem("openmp", "torch is not installed", "pip install 'llmos[server]'")
    if not (Path(spec.origin).parent / "lib" / "libgomp.so.1").exists():
        return warning(
            "openmp",
            "torch brings no libgomp: kernels and torch have a pool of threads each",
            "install torch from PyPI or PyTorch's own index",
        )
    return ok("openmp", "one libgomp for kernels and torch")


def _memory(config: Config) -> Check:
    free, total = device.available_memory(), device.total_memory()
    found = f"{free >> 20} MiB of {total >> 20} MiB are available"
    if config.memory_limit_bytes:
        found += f", memory_limit_bytes is {config.memory_limit_bytes >> 20} MiB"
    if config.memory_limit_bytes > total:
        return warning("memory", found, "memory_limit_bytes is more than there is; set it lower")
    if free < config.memory_reserve_bytes:
        return warning(
            "memory", f"{found}: no model can be loaded", "llmos ps, then unload what is not needed"
        )
    return ok("memory", found)


def _certificate(certificate: Path, key: Path) -> Check:
    try:
        end = expiry(certificate, key)
    except OSError as error:
        return problem(
            "certificate", f"{certificate}: {error}", "llmos certs init makes both files"
        )
    days = (end - datetime.now(UTC)).days
    found = f"{certificate} holds until {end:%Y-%m-%d}"
    fix = "llmos certs init with the same --dir; the daemon reads it without a restart"
    if days < 0:
        return problem("certificate", f"{found}: it is over", fix)
    return warning("certificate", found, fix) if days < _SOON_DAYS else ok("certificate", found)


def _service() -> Check:
    if "INVOCATION_ID" not in os.environ and "NOTIFY_SOCKET" not in os.environ:
        return ok("service", "not a service of systemd: a person's own daemon")
    if "WATCHDOG_USEC" not in os.environ:
        return warning(
            "service",
            "systemd runs it, and does not watch it: a daemon that hangs stays so",
            "systemctl edit llmosd: [Service] WatchdogSec=30",
        )
    seconds = int(os.environ["WATCHDOG_USEC"]) / 1e6
    return ok("service", f"systemd runs it, and restarts it when it hangs for {seconds:g} s")


def _access(config: Config) -> Check:
    if config.insecure_loopback and not config.listen.startswith("unix:"):
        return warning(
            "access",
            f"whoever can reach {config.listen} may do anything",
            "listen on unix:PATH, or for other machines on tcp_listen",
        )
    return ok("access", f"listens on {config.listen}")
