"""The arithmetic of an NVIDIA GPU; see engine.choices. Imports neither numba nor gRPC."""

from contextlib import nullcontext
from functools import partial

import torch

from llmosd.architectures.architecture import Architecture
from llmosd.architectures.config import ModelConfig
from llmosd.engine.choices import RunnerChoice, with_ops
from llmosd.engine.cuda.attention import rows_per_tile
from llmosd.engine.cuda.ops import CudaOps
from llmosd.engine.cuda.runner import CudaRunner
from llmosd.engine.kv_cache import BLOCK_TOKENS, KVCache
from llmosd.engine.runner import Runner
from llmosd.engine.torch_sampler import TorchSampler
from llmosd.ipc.messages import LoadEngine


def _runner(
    order: LoadEngine, config: ModelConfig, network: Architecture, cache: KVCache
) -> Runner:
    return CudaRunner(
        network,
        cache,
        torch.device(order.device),
        rows_per_tile(config.num_heads, config.num_kv_heads),
        max_sequences=order.max_sequences,
        max_blocks=min(-(-config.context_length // BLOCK_TOKENS), cache.whole.keys.shape[1]),
    )


def _set_threads(_threads: int) -> None:
    """The device has its own."""


def _choice(dtype: torch.dtype) -> RunnerChoice:
    cache = partial(KVCache, transposed_keys=False)
    build = with_ops(CudaOps)
    return RunnerChoice(
        "triton-cuda", build, dtype, cache, _runner, TorchSampler, _set_threads,
        lambda _report: nullcontext(),
    )  # fmt: skip


RUNNERS = {"float32": _choice(torch.float32), "bfloat16": _choice(torch.bfloat16)}
