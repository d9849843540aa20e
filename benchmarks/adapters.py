"""What adapters cost beside their base: `python -m benchmarks.adapters`, a line of JSON.

SmolLM2-135M with adapters of rank 8, on queries and values (peft's default) and on all products;
steps of the bare engine, the cases in turns. Ratios are against the base alone in the same round.

Expected, written before the first measurement: an adapter on all products is read once a step, 14
MB beside the base's 140: one stream 0.9 with it, 0.97 with queries and values alone. Of 8 streams
each reads its own, so on all products half of what the base reads is read once more: 0.75. 512
tokens of a prompt: a quarter more arithmetic, in float32 and not in tiles: 0.75.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROUNDS, TOKENS, PROMPT = 7, 96, 512
TARGETS = {
    "q,v": ("q_proj", "v_proj"),
    "all": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
}
STREAMS = 8
_SHIFTS = itertools.count(0, 11)  # so that nothing is found in the cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--dtype", default="int8")
    arguments = parser.parse_args()
    if "NUMBA_NUM_THREADS" not in os.environ:  # they are read as the process starts
        from benchmarks.alone import engine_environment

        environment = {**os.environ, **engine_environment()}
        os.execve(
            sys.executable,
            [sys.executable, "-m", "benchmarks.adapters", *sys.argv[1:]],
            environment,
        )
    from benchmarks.peers.engine import BareEngine

    peer = BareEngine(arguments.dtype)
    peer.load("")
    with tempfile.TemporaryDirectory() as folder:
        seconds = install(peer, Path(folder))
    rounds = [measure(peer) for _ in range(ROUNDS + 1)][1:]
    report = {"dtype": arguments.dtype, "seconds_to_load_one": round(seconds, 3)}
    for case in rounds[0]:
        report[case] = round(median(each[case] for each in rounds), 3)
    print(json.dumps(report, indent=1))


def install(peer, folder: Path) -> float:
    """STREAMS adapters of each kind, numbered from 1; returns the seconds that one took."""
    from safetensors.torch import save_file
    from torch import Generator, randn

    from llmosd.architectures.families.table import expected_shapes
    from llmosd.architectures.peft_files import PREFIX, peft_config

    engine, number, random = peer.engine, 0, Generator().manual_seed(0)
    for targets in TARGETS.values():
        weights = {}
        for name, shape in expected_shapes(engine.config).items():
            product = name.removesuffix(".weight")
            if product.rpartition(".")[2] in targets:
                for side, size in (("A", (8, shape[1])), ("B", (shape[0], 8))):
                    value = 0.01 * randn(size, generator=random)
                    weights[f"{PREFIX}{product}.lora_{side}.weight"] = value
        save_file(weights, folder / "adapter_model.safetensors")
        config = peft_config(engine.config, targets, rank=8, alpha=16.0, dropout=0)
        (folder / "adapter_config.json").write_text(json.dumps(config))
        for _ in range(STREAMS):
            number += 1
            began = time.perf_counter()
            engine.set_adapter(number, list(engine.adapter_layers(folder)))
            seconds = time.perf_counter() - began
    return seconds


def measure(peer) -> dict[str, float]:
    """One round: tokens a second, and what of it is left with adapters."""
    kinds = {
        kind: range(1 + STREAMS * at, 1 + STREAMS * (at + 1)) for at, kind in enumerate(TARGETS)
    }
    found = {}
    for name, streams, length, tokens in (
        ("1 stream", 1, 16, TOKENS), (f"{STREAMS} streams", STREAMS, 16, TOKENS),
        (f"a prompt of {PROMPT}", 1, PROMPT, 1),
    ):  # fmt: skip
        base = speed(peer, [0] * streams, length, tokens)
        found[name] = base
        for kind, numbers in kinds.items():
            same = speed(peer, [numbers[0]] * streams, length, tokens)
            found[f"{name}, one adapter on {kind}"] = same / base
            if streams > 1:
                own = speed(peer, list(numbers), length, tokens)
                found[f"{name}, an adapter each on {kind}"] = own / base
    return found


def speed(peer, adapters: list[int], length: int, tokens: int) -> float:
    """Tokens a second of one stream for each adapter; of long prompts, of the prompt."""
    from benchmarks.cases import PROMPTS
    from benchmarks.peer import Request

    ids = json.loads(PROMPTS.read_text())["ids"]
    batch = [
        Request((ids[(37 * at + next(_SHIFTS)) % 900 :] + ids)[:length], tokens)
        for at in range(len(adapters))
    ]
    timings = peer.generate(batch, adapters)
    if tokens == 1:
        return length / timings[0].first
    first = max(each.first for each in timings)
    return len(batch) * (tokens - 1) / (max(each.total for each in timings) - first)


if __name__ == "__main__":
    main()
