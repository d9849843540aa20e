"""What it takes to serve a device in a type; the tables are cpu.RUNNERS and cuda.choices.RUNNERS.

A device's table is imported when it is asked for, so that an engine on a GPU needs no numba.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

import torch

from llmosd.architectures.architecture import Architecture, Ops, Weights
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import family_of
from llmosd.device import has_cuda
from llmosd.engine.draws import Sampler
from llmosd.engine.kv_cache import KVCache
from llmosd.engine.runner import Runner
from llmosd.ipc.messages import LoadEngine

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Report = Callable[[str, int, int], None]
Opened = Callable[[], AbstractContextManager[Weights]]
Build = Callable[[LoadEngine, ModelConfig, Opened], Architecture]


@dataclass(frozen=True, slots=True)
class RunnerChoice:
    """Which arithmetic serves a device and a type, under the name `llmos ps` shows.

    Attributes:
        name: of the arithmetic.
        build: makes the network from the order, the configuration, and a way to open the weights.
        cache_dtype: of keys and values.
        cache: allocates the cache; KVCache, or one that lies otherwise in memory.
        runner: makes the runner from the order, the configuration, the network and the cache.
        sampler: makes the sampler.
        set_threads: tells the kernels how many threads they may use.
        compiling: reports what is compiled inside it.
    """

    name: str
    build: Build
    cache_dtype: torch.dtype
    cache: Callable[[ModelConfig, int, torch.device, torch.dtype], KVCache]
    runner: Callable[[LoadEngine, ModelConfig, Architecture, Any], Runner]
    sampler: Callable[[], Sampler]
    set_threads: Callable[[int], None]
    compiling: Callable[[Report], AbstractContextManager[None]]


def choose(device: str, dtype: str) -> RunnerChoice:
    """The entry for "cpu" or "cuda" and a type."""
    if device == "cpu":
        from llmosd.engine.cpu import RUNNERS  # noqa: PLC0415 - see above

        return RUNNERS[dtype]
    from llmosd.engine.cuda.choices import RUNNERS as CUDA_RUNNERS  # noqa: PLC0415 - see above

    return CUDA_RUNNERS[dtype]


def preload() -> None:
    """Import the table that is most likely asked for: the GPU's where there is one."""
    with suppress(ImportError):  # a torch without CUDA beside a GPU: told to whoever asks for it
        choose("cuda" if has_cuda() else "cpu", "float32")


def with_ops(ops: Callable[[torch.device, torch.dtype], Ops]) -> Build:
    """Build a network in an Ops."""

    def build(order: LoadEngine, config: ModelConfig, opened: Opened) -> Architecture:
        with opened() as weights:
            chosen = ops(torch.device(order.device), DTYPES[order.dtype])
            network: Architecture = family_of(config.architecture).load_network()(
                config, weights, chosen
            )
            return network

    return build
