"""From a model version's folder to a warm Engine."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numba
import torch
from safetensors import safe_open

from llmosd.architectures.architecture import Architecture, Ops, Weights
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.registry import ARCHITECTURES
from llmosd.architectures.torch_ops import TorchOps
from llmosd.engine.block_pool import BlockPool
from llmosd.engine.compiling import compilation_reported
from llmosd.engine.engine import Engine
from llmosd.engine.kernel_ops import KernelOps
from llmosd.engine.kv_cache import BLOCK_TOKENS, KVCache, block_bytes
from llmosd.engine.packed_cache import load_or_pack
from llmosd.engine.packing import Arrays, pack
from llmosd.engine.policy import Policy
from llmosd.engine.quantized_llama import QuantizedLlama
from llmosd.engine.runner import Runner
from llmosd.engine.scheduler import Scheduler
from llmosd.errors import InsufficientMemory
from llmosd.ipc.messages import LoadEngine, Ready, SamplingSpec, Submit
from llmosd.store.files import open_regular, read_regular
from llmosd.store.manifest import MANIFEST, WEIGHTS, decode_manifest

Report = Callable[[str, int, int], None]
Load = Callable[[LoadEngine, Report], tuple[Engine, Ready]]
Opened = Callable[[], AbstractContextManager[Weights]]
Build = Callable[[LoadEngine, ModelConfig, Opened], Architecture]
_LARGEST_CONFIG = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunnerChoice:
    """Which arithmetic serves a device and a type, under the name `llmos ps` shows.

    `build` makes the network from the order, the configuration, and a way to open the weights.
    """

    name: str
    build: Build
    cache_dtype: torch.dtype


def with_ops(ops: Callable[[torch.device, torch.dtype], Ops]) -> Build:
    """Build a network in an Ops."""

    def build(order: LoadEngine, config: ModelConfig, opened: Opened) -> Architecture:
        with opened() as weights:
            chosen = ops(torch.device(order.device), DTYPES[order.dtype])
            return ARCHITECTURES[config.architecture](config, weights, chosen)

    return build


def _quantized(order: LoadEngine, config: ModelConfig, opened: Opened) -> Architecture:
    """The fused decoder, from packed weights where they are kept."""

    def make() -> Arrays:
        with opened() as weights:
            return pack(config, weights, order.dtype)

    manifest = read_regular(Path(order.model_dir), MANIFEST, _LARGEST_CONFIG)
    key = f"{decode_manifest(manifest).files[WEIGHTS].sha256}-{order.dtype}"
    return QuantizedLlama(config, load_or_pack(order.packed_dir, key, make), order.threads)


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
RUNNERS = {
    ("cpu", "float32"): RunnerChoice("numba-cpu", with_ops(KernelOps), torch.float32),
    ("cpu", "bfloat16"): RunnerChoice("numba-cpu", with_ops(KernelOps), torch.float32),
    ("cpu", "int8"): RunnerChoice("numba-fused", _quantized, torch.bfloat16),
    ("cpu", "int4"): RunnerChoice("numba-fused", _quantized, torch.bfloat16),
    ("cuda", "float32"): RunnerChoice("torch-cuda", with_ops(TorchOps), torch.float32),
    ("cuda", "bfloat16"): RunnerChoice("torch-cuda", with_ops(TorchOps), torch.bfloat16),
}


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
    choice, device = RUNNERS[order.device, order.dtype], torch.device(order.device)
    report("weights", 0, 0)
    network = choice.build(order, config, lambda: _opened(folder, report))
    num_blocks = order.kv_cache_bytes // block_bytes(config, choice.cache_dtype)
    if num_blocks < 1:
        raise InsufficientMemory("the key-value cache may hold no block; raise kv_cache_bytes")
    runner = Runner(network, KVCache(config, num_blocks, device, choice.cache_dtype), device)
    pool = BlockPool(num_blocks)
    scheduler = Scheduler(
        pool,
        Policy(order.tenant_weights, max_sequences=order.max_sequences),
        block_tokens=BLOCK_TOKENS,
        max_sequences=order.max_sequences,
        step_tokens=order.step_tokens,
        draft_tokens=order.draft_tokens,
    )
    engine = Engine(runner, scheduler, pool)
    report("warm-up", 0, 0)
    with compilation_reported(report):
        _warm_up(engine, config)
    return engine, Ready(
        choice.name, order.device, order.dtype, num_blocks, BLOCK_TOKENS, config.vocab_size
    )


@contextmanager
def _opened(folder: Path, report: Report) -> Iterator[Weights]:
    """The weights' file, read as the network asks for it, one tensor at a time."""
    fd = open_regular(folder, WEIGHTS)
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

        yield weight


def _warm_up(engine: Engine, config: ModelConfig) -> None:
    """Run every kernel once, so that the first request meets compiled code."""
    greedy = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})
    drawn = SamplingSpec(1.0, 2, 0.9, 0.1, 1.1, 0.1, 0.1, 0, {0: 0.0})
    wide = msgspec.structs.replace(drawn, top_k=0)
    even = msgspec.structs.replace(wide, top_p=1.0)
    specs = (greedy, drawn, wide, even)
    for index, spec in enumerate(specs):
        prompt = [token % config.vocab_size for token in range(3)]
        engine.submit(Submit(index, prompt, 1, 2, 0, [], spec, 1))
    engine.submit(Submit(len(specs), [0, 0], 1, 0, 0, [], greedy, -1, score=True))
    while engine.has_work:
        engine.step()
    engine.forget()
