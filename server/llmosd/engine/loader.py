"""From a model version's folder to a warm Engine."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numba
import torch
from safetensors import safe_open

from llmosd.architectures.architecture import Architecture, Ops
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.registry import ARCHITECTURES
from llmosd.architectures.torch_ops import TorchOps
from llmosd.engine.block_pool import BlockPool
from llmosd.engine.engine import Engine
from llmosd.engine.kernel_ops import KernelOps
from llmosd.engine.kv_cache import BLOCK_TOKENS, KVCache, block_bytes
from llmosd.engine.runner import Runner
from llmosd.engine.scheduler import Scheduler
from llmosd.errors import InsufficientMemory
from llmosd.ipc.messages import LoadEngine, Ready, SamplingSpec, Submit
from llmosd.store.files import open_regular, read_regular

Report = Callable[[str, int, int], None]
_LARGEST_CONFIG = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunnerChoice:
    """Which arithmetic serves a kind of device, under the name `llmos ps` shows."""

    name: str
    ops: Callable[[torch.device, torch.dtype], Ops]
    cache_dtype: torch.dtype | None = None  # None: the arithmetic's own


RUNNERS = {
    "cpu": RunnerChoice("numba-cpu", KernelOps, torch.float32),
    "cuda": RunnerChoice("torch-cuda", TorchOps),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load(order: LoadEngine, report: Report) -> tuple[Engine, Ready]:
    """Load weights, allocate the cache, compile the kernels.

    Raises:
        InsufficientMemory: when the allowed cache cannot hold one block.
    """
    torch.set_num_threads(order.threads)
    numba.set_num_threads(order.threads)
    folder = Path(order.model_dir)
    config_json = read_regular(folder, "config.json", _LARGEST_CONFIG)
    config = msgspec.json.decode(config_json, type=ModelConfig)
    choice, device, dtype = RUNNERS[order.device], torch.device(order.device), DTYPES[order.dtype]
    report("weights", 0, 0)
    network = _network(folder, config, choice.ops(device, dtype), report)
    cache_dtype = choice.cache_dtype or dtype
    num_blocks = order.kv_cache_bytes // block_bytes(config, cache_dtype)
    if num_blocks < 1:
        raise InsufficientMemory("the key-value cache may hold no block; raise kv_cache_bytes")
    runner = Runner(network, KVCache(config, num_blocks, device, cache_dtype), device)
    pool = BlockPool(num_blocks)
    scheduler = Scheduler(
        pool,
        block_tokens=BLOCK_TOKENS,
        max_sequences=order.max_sequences,
        step_tokens=order.step_tokens,
    )
    engine = Engine(runner, scheduler, pool)
    report("warm-up", 0, 0)
    _warm_up(engine, config)
    return engine, Ready(choice.name, order.device, order.dtype, num_blocks, BLOCK_TOKENS)


def _network(folder: Path, config: ModelConfig, ops: Ops, report: Report) -> Architecture:
    """Read the weights as the network asks for them, one at a time."""
    fd = open_regular(folder, "model.safetensors")
    try:
        # By descriptor: what was found to be a plain file is what is read.
        opened = safe_open(f"/proc/self/fd/{fd}", framework="pt")
    finally:
        os.close(fd)
    with opened as file:
        total, read = len(file.keys()), 0

        def weight(name: str) -> torch.Tensor:
            nonlocal read
            read += 1
            report("weights", read, total)
            tensor: torch.Tensor = file.get_tensor(name)
            return tensor

        return ARCHITECTURES[config.architecture](config, weight, ops)


def _warm_up(engine: Engine, config: ModelConfig) -> None:
    """Run every kernel once, so that the first request meets compiled code."""
    greedy = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})
    drawn = SamplingSpec(1.0, 2, 0.9, 0.1, 1.1, 0.1, 0.1, 0, {0: 0.0})
    wide = msgspec.structs.replace(drawn, top_k=0)
    even = msgspec.structs.replace(wide, top_p=1.0)
    for index, spec in enumerate((greedy, drawn, wide, even)):
        prompt = [token % config.vocab_size for token in range(3)]
        engine.submit(Submit(index, prompt, 1, 2, 0, [], spec, 1))
    while engine.has_work:
        engine.step()
