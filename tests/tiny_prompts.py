"""Small prompts with answers, for networks that read one before they write the other.

`import tiny_prompts` finds it; see tiny_training for networks.
"""

import msgspec
import torch
from safetensors.torch import save_file

from llmosd.architectures.families.table import block_bytes, family_of
from llmosd.architectures.trainable.registry import from_scratch
from llmosd.engine.loader import load
from llmosd.ipc.messages import LoadEngine, SamplingSpec, Submit
from tiny_training import WORDS

START = 7
PROMPTS, ANSWERS = (5, 1, 12, 3), (4, 6, 1, 9)
GREEDY = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})


def wide_network(config, factor):
    """Of weights `factor` times as wide as they begin, so that what was read matters; with biases."""
    made = from_scratch(config, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
            else:
                parameter.mul_(factor)
    return made.eval()


def words(count, seed):
    """Tokens, none of which begins an answer."""
    found = torch.randint(WORDS - 1, (count,), generator=torch.Generator().manual_seed(seed))
    return found + (found >= START)


def examples():
    """(prompt with its end, answer) of each."""
    for at, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
        yield torch.cat([words(prompt, at), torch.tensor([START])]), words(answer, 100 + at)


def batch():
    """The examples end to end, and their lengths."""
    parts = [torch.cat(pair) for pair in examples()]
    return torch.cat(parts), tuple(len(part) for part in parts)


def serve(network, folder, *, blocks, max_sequences=8, dtype="float32"):
    """An engine that serves the network, with so many blocks, or states."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(msgspec.json.encode(network.config))
    save_file(network.state_dict(), folder / "model.safetensors")
    paged = family_of(network.config.architecture).memory(network.config).layers
    size = block_bytes(network.config, 16 if paged else 0, 4)
    order = LoadEngine(
        str(folder), "cpu", dtype, "", blocks * size, max_sequences, 16, 8,
        threads=2, heartbeat_seconds=0.5,
    )  # fmt: skip
    engine, ready = load(order, lambda *_: None)
    assert ready.kv_blocks == (blocks if paged else min(blocks, max_sequences))
    return engine


def submits(*, answers=1, temperature=0.0, **more):
    """A request for each example's prompt."""
    for at, (prompt, _) in enumerate(examples()):
        spec = msgspec.structs.replace(GREEDY, temperature=temperature, seed=at)
        yield Submit(at, prompt.tolist(), answers, 20, 0, [], spec, 0, **more)


def finish(engine, submitted):
    """All answers: {(id, choice): [(token, log-probability), ...]}; nothing is held at the end."""
    found = {}
    for submit in submitted:
        engine.submit(submit)
    while engine.has_work:
        for out in engine.step().tokens:
            found.setdefault((out.id, out.choice), []).append((out.token, out.logprob))
    assert engine.stats.kv_blocks_used == 0
    return found
