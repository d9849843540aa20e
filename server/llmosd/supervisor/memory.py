"""How much memory a model will take, before it is loaded."""

from typing import NamedTuple

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.dtypes import WIDTHS
from llmosd.architectures.families.table import block_bytes, family_of

# Measured: an engine with torch and numba imported, kernels loaded, and no model.
_RUNTIME_BYTES = 420 * 1024 * 1024
_MOST_CACHE = 4 * 1024**3
# Bytes per number of the key-value cache.
_CACHE_WIDTH = {
    "cpu": {"float32": 4, "bfloat16": 4, "int8": 2, "int4": 2},
    "cuda": {"float32": 4, "bfloat16": 2},
}


class Estimate(NamedTuple):
    """Bytes an engine will hold once it is used to the full."""

    weights: int
    kv_cache: int
    runtime: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv_cache + self.runtime


def estimate(
    config: ModelConfig,
    parameters: int,
    *,
    device: str,
    dtype: str,
    kv_bytes: int,
    available: int,
    sequences: int,
) -> Estimate:
    """Memory of a loaded model.

    `kv_bytes` 0 sizes the cache: a quarter of the `available` bytes, 4 GiB and all contexts at
    most, and one whole context at least. A recurrent network needs a state for each of the
    `sequences` that run at once; one that remembers nothing of them needs nothing.
    """
    table = config.vocab_size * config.hidden_size
    weights = parameters * WIDTHS[dtype]
    if config.tie_embeddings and config.head == "language" and device == "cpu":
        # The table that is read and the packed head that is multiplied.
        weights += table * WIDTHS[dtype]
    if dtype.startswith("int"):
        # The table is bfloat16, and the head int8 at least.
        weights += table * (WIDTHS["bfloat16"] + WIDTHS["int8"] - 2 * WIDTHS[dtype])
    if not family_of(config.architecture).memory(config).layers:
        states = sequences * block_bytes(config, 0, 0)
        kv_bytes = min(kv_bytes, states) if kv_bytes else states
    elif not kv_bytes:
        kv_bytes = max(min(_MOST_CACHE, available // 4), context_bytes(config, device, dtype))
    return Estimate(int(weights), kv_bytes, _RUNTIME_BYTES)


def context_bytes(config: ModelConfig, device: str, dtype: str) -> int:
    """Key-value cache of one full context, in whole blocks of 16 positions."""
    blocks = -(-config.context_length // 16)
    return blocks * block_bytes(config, 16, _CACHE_WIDTH[device][dtype])
