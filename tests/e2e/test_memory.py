"""Models in and out of memory: unload, idle, eviction, refusal."""

import os

import pytest

from daemon import wait_for
from llmos_client import InsufficientMemoryError, ModelInUseError, ModelNotLoadedError

MIB = 1024 * 1024


def test_unload_returns_the_memory(new_daemon, smollm2_gguf):
    """Resident bytes before, loaded and after are in the result; after is as before."""
    daemon = new_daemon(keep_alive_seconds=-1)
    daemon.install("smollm2", smollm2_gguf)
    with daemon.client() as client:
        loaded = client.load_model("smollm2").result()
        client.generate("smollm2", "Hello", max_tokens=5)
        pid = daemon.residency("smollm2").pid
        unloaded = client.unload_model("smollm2").result()
    megabytes = [
        round(value / MIB)
        for value in (
            unloaded.resident_bytes_before,
            unloaded.resident_bytes_loaded,
            unloaded.resident_bytes_after,
        )
    ]
    print("resident MiB before, loaded, after:", megabytes)

    before, held, after = megabytes
    assert loaded.resident_bytes_loaded > loaded.resident_bytes_before + 500 * MIB
    assert held > before + 500  # 134.5 M parameters in float32
    assert after < before + 40
    with pytest.raises(ModelNotLoadedError), daemon.client() as client:
        client.generate("smollm2", "Hello")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_idle_model_leaves_and_comes_back(new_daemon, tiny_folders):
    """After its keep-alive it is out of memory; the next request loads it and is answered."""
    daemon = new_daemon()
    daemon.install("tiny-llama", tiny_folders["tiny-llama"])
    daemon.load("tiny-llama", keep_alive=0.2)
    with daemon.client() as client:
        first = client.generate("tiny-llama", tokens=[1, 2], max_tokens=5, seed=1)
        wait_for(lambda: daemon.residency("tiny-llama").state == "idle", 20)
        assert daemon.residency("tiny-llama").pid == 0
        again = client.generate("tiny-llama", tokens=[1, 2], max_tokens=5, seed=1)
    assert again.choices == first.choices


def test_least_recently_used_makes_room(new_daemon, tiny_folders):
    """When memory is short, the model unused for longest leaves; what cannot fit is refused."""
    # Two tiny engines take about 300 MiB each, and are estimated at 420 before.
    daemon = new_daemon(
        memory_limit_bytes=1000 * MIB, memory_reserve_bytes=0, kv_cache_bytes=4 * MIB
    )
    names = ("tiny-llama", "tiny-qwen2", "tiny-qwen3")
    for name in names:
        daemon.install(name, tiny_folders[name])
    daemon.load("tiny-llama")
    daemon.load("tiny-qwen2")
    with daemon.client() as client:
        client.generate("tiny-llama", tokens=[1], max_tokens=1)
        client.load_model("tiny-qwen3").result()
        states = {name: daemon.residency(name).state for name in names}
        assert states == {"tiny-llama": "loaded", "tiny-qwen2": "idle", "tiny-qwen3": "loaded"}


def test_estimate_refuses_before_loading(new_daemon, tiny_folders):
    """A model that cannot fit is refused with both numbers, and nothing is started."""
    daemon = new_daemon(kv_cache_bytes=10**15)
    daemon.install("tiny-llama", tiny_folders["tiny-llama"])
    with daemon.client() as client:
        with pytest.raises(InsufficientMemoryError) as caught:
            client.load_model("tiny-llama").result()
        needed = int(caught.value.metadata["needed_bytes"])
        assert needed > int(caught.value.metadata["available_bytes"])
        estimate = client.load_model("tiny-llama", validate_only=True).result()
        assert estimate.estimated_bytes > 10**15
    assert daemon.residency("tiny-llama").state == "unloaded"


def test_what_was_asked_for_survives(new_daemon, tiny_folders):
    """Keep-alive and dtype outlive a plain second load and the daemon; a new version serves too."""
    daemon = new_daemon()
    daemon.install("tiny-llama", tiny_folders["tiny-llama"])
    daemon.load("tiny-llama", keep_alive=-1, dtype="bfloat16")
    daemon.load("tiny-llama")
    with daemon.client() as client:
        with pytest.raises(ModelInUseError, match="loaded as bfloat16"):
            client.load_model("tiny-llama", dtype="float32").result()
        before = client.generate("tiny-llama", tokens=[1, 2], max_tokens=4, temperature=0.0)
    daemon.stop()
    daemon.start()
    with daemon.client() as client:
        again = client.generate("tiny-llama", tokens=[1, 2], max_tokens=4, temperature=0.0)
        assert again.choices == before.choices
        residency = daemon.residency("tiny-llama")
        assert (residency.dtype, residency.expire_time) == ("bfloat16", None)

        daemon.install("tiny-llama", tiny_folders["tiny-qwen2"])
        newer = client.generate("tiny-llama", tokens=[1, 2], max_tokens=4, temperature=0.0)
        assert newer.model_version == "models/tiny-llama/versions/2"
