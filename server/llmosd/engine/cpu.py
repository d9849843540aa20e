"""The arithmetic of a CPU: numba's kernels."""

from pathlib import Path

import numba
import torch

from llmos_kernels.attention import rows_per_tile
from llmosd.architectures.architecture import Architecture
from llmosd.architectures.config import ModelConfig
from llmosd.engine.choices import Build, Opened, RunnerChoice, with_ops
from llmosd.engine.compiling import compilation_reported
from llmosd.engine.kernel_ops import KernelOps
from llmosd.engine.kv_cache import KVCache
from llmosd.engine.packed_cache import load_or_pack
from llmosd.engine.packing import Arrays, pack
from llmosd.engine.quantized_llama import QuantizedLlama
from llmosd.engine.recurrent_state import RecurrentState
from llmosd.engine.runner import Runner
from llmosd.engine.sampler import NumbaSampler
from llmosd.ipc.messages import LoadEngine
from llmosd.store.files import read_regular
from llmosd.store.manifest import MANIFEST, WEIGHTS, decode_manifest, digest_of

_LARGEST_MANIFEST = 1024 * 1024


def _quantized(order: LoadEngine, config: ModelConfig, opened: Opened) -> Architecture:
    """The fused decoder, from packed weights where they are kept."""

    def make() -> Arrays:
        with opened() as weights:
            return pack(config, weights, order.dtype)

    manifest = read_regular(Path(order.model_dir), MANIFEST, _LARGEST_MANIFEST)
    files = decode_manifest(manifest).files
    if order.base_dir:
        # An adapter's digest says nothing of its base: both are in its own manifest's.
        key = f"{digest_of(manifest).removeprefix('sha256:')}-{order.dtype}"
    else:
        key = f"{files[WEIGHTS].sha256}-{order.dtype}"
    return QuantizedLlama(config, load_or_pack(order.packed_dir, key, make), order.threads)


def _runner(
    _order: LoadEngine,
    config: ModelConfig,
    network: Architecture,
    cache: KVCache | RecurrentState,
) -> Runner:
    rows = rows_per_tile(config.num_heads, config.num_kv_heads)
    return Runner(network, cache, torch.device("cpu"), rows)


def _choice(name: str, build: Build, cache_dtype: torch.dtype) -> RunnerChoice:
    return RunnerChoice(
        name, build, cache_dtype, KVCache, _runner, NumbaSampler, numba.set_num_threads,
        compilation_reported,
    )  # fmt: skip


RUNNERS = {
    "float32": _choice("numba-cpu", with_ops(KernelOps), torch.float32),
    "bfloat16": _choice("numba-cpu", with_ops(KernelOps), torch.float32),
    "int8": _choice("numba-fused", _quantized, torch.bfloat16),
    "int4": _choice("numba-fused", _quantized, torch.bfloat16),
}
