"""From a model version's folder to a warm Engine."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch
from safetensors import safe_open

from llmosd.architectures.architecture import Architecture, Weights
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import block_bytes, family_of
from llmosd.engine.adapters import with_adapter
from llmosd.engine.block_pool import BlockPool
from llmosd.engine.choices import Report, RunnerChoice, choose
from llmosd.engine.engine import Engine
from llmosd.engine.kv_cache import BLOCK_TOKENS, KVCache
from llmosd.engine.policy import Policy
from llmosd.engine.recurrent_state import RecurrentState
from llmosd.engine.scheduler import Scheduler
from llmosd.errors import InsufficientMemory
from llmosd.ipc.messages import LoadEngine, Ready, SamplingSpec, Scoring, Submit
from llmosd.quantizers.stored import logical, read_stored
from llmosd.store.files import open_regular, read_regular
from llmosd.store.manifest import WEIGHTS

if TYPE_CHECKING:
    from llmosd.engine.latents import Prior

Load = Callable[[LoadEngine, Report], tuple[Engine, Ready]]
_LARGEST_CONFIG = 1024 * 1024
_NOTHING = -1  # the number of an adapter that changes nothing


def load(order: LoadEngine, report: Report) -> tuple[Engine, Ready]:
    """Load weights, allocate the cache, compile the kernels.

    Raises:
        InsufficientMemory: when the allowed cache cannot hold one block.
    """
    torch.set_num_threads(order.threads)
    folder = Path(order.model_dir)
    config_json = read_regular(folder, "config.json", _LARGEST_CONFIG)
    config = msgspec.json.decode(config_json, type=ModelConfig)
    choice = choose(order.device, order.dtype)
    choice.set_threads(order.threads)
    report("weights", 0, 0)
    network = choice.build(order, config, lambda: _opened(order, report))
    report("warm-up", 0, 0)
    with choice.compiling(report):
        return assemble(order, config, choice, network)


def assemble(
    order: LoadEngine, config: ModelConfig, choice: RunnerChoice, network: Architecture
) -> tuple[Engine, Ready]:
    """An engine around a network, warm. Raises what `load` does."""
    cache, num_blocks = _allocate(order, config, choice)
    whole = family_of(config.architecture).whole
    pool = BlockPool(num_blocks)
    scheduler = Scheduler(
        pool,
        Policy(order.tenant_weights, max_sequences=order.max_sequences),
        block_tokens=cache.block_tokens,
        max_sequences=order.max_sequences,
        step_tokens=order.step_tokens,
        # A state cannot go back to before a wrong guess.
        draft_tokens=0 if whole or cache.block_tokens > BLOCK_TOKENS else order.draft_tokens,
        whole=whole,
    )
    runner = choice.runner(order, config, network, cache)
    engine = Engine(config, runner, choice.sampler(), scheduler, pool, _prior(config))
    _warm_up(engine, config)
    return engine, Ready(
        choice.name, order.device, order.dtype, num_blocks, cache.block_tokens, config.vocab_size
    )


def _prior(config: ModelConfig) -> "Prior | None":
    """What gives latent vectors to whoever has none; an engine without them needs no numba here."""
    if not family_of(config.architecture).latent:
        return None
    from llmosd.engine.latents import Prior  # noqa: PLC0415 - see above

    return Prior(config)


def _allocate(
    order: LoadEngine, config: ModelConfig, choice: RunnerChoice
) -> tuple[KVCache | RecurrentState, int]:
    """What the network remembers its sequences by, and how many blocks, or states, it has."""
    recurrent = not family_of(config.architecture).memory(config).layers
    positions = 0 if recurrent else BLOCK_TOKENS
    each = block_bytes(config, positions, choice.cache_dtype.itemsize)
    count = order.kv_cache_bytes // each if each else order.max_sequences
    if count < 1:
        raise InsufficientMemory("the cache may hold no sequence; raise kv_cache_bytes")
    device = torch.device(order.device)
    if recurrent:
        count = min(count, order.max_sequences)
        return RecurrentState(config, count, device), count
    return choice.cache(config, count, device, choice.cache_dtype), count


@contextmanager
def _opened(order: LoadEngine, report: Report) -> Iterator[Weights]:
    """The weights' file, read as the network asks for it, one tensor at a time."""
    fd = open_regular(Path(order.base_dir or order.model_dir), WEIGHTS)
    try:
        # By descriptor: what was found to be a plain file is what is read.
        opened = safe_open(f"/proc/self/fd/{fd}", framework="pt")
    finally:
        os.close(fd)
    with opened as file:
        names = set(file.keys())
        total, read = len(logical(names)), 0

        def weight(name: str) -> torch.Tensor:
            nonlocal read
            read += 1
            report("weights", read, total)
            return read_stored(name, names, file.get_tensor)

        yield with_adapter(Path(order.model_dir), weight) if order.base_dir else weight


def _warm_up(engine: Engine, config: ModelConfig) -> None:
    """Run every kernel once, so that the first request meets compiled code."""
    greedy = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})
    prompt = [token % config.vocab_size for token in range(3)]
    if config.head != "language":
        engine.submit(Submit(0, prompt, 1, 0, 0, [], greedy, -1, task="classify"))
    else:
        drawn = SamplingSpec(1.0, 2, 0.9, 0.1, 1.1, 0.1, 0.1, 0, {0: 0.0})
        wide = msgspec.structs.replace(drawn, top_k=0)
        even = msgspec.structs.replace(wide, top_p=1.0)
        for index, spec in enumerate((greedy, drawn, wide, even)):
            engine.submit(Submit(index, prompt, 1, 2, 0, [], spec, 1))
        if family_of(config.architecture).products:
            engine.set_adapter(_NOTHING, [engine.pack_adapter({})] * config.num_layers)
            engine.submit(Submit(6, prompt, 1, 2, 0, [], greedy, -1, adapter=_NOTHING))
        scoring = Scoring(1, prompt[1], 1)
        engine.submit(Submit(4, prompt[:1], 1, 0, 0, [], greedy, -1, task="score", scoring=scoring))
        if family_of(config.architecture).latent:
            engine.submit(Submit(5, [config.start_id], 1, 1, 0, [], greedy, -1))
    while engine.has_work:
        engine.step()
    engine.set_adapter(_NOTHING, None)
    engine.forget()
