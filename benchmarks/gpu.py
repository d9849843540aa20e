"""`python -m benchmarks.gpu`: the engine on a GPU, all in one call.

Needs torch with CUDA, numpy, msgspec and safetensors, and for the comparison transformers; no file,
no network, no daemon. Prints a table and writes JSON. Exit code 0: measured and right; 1: an answer
is wrong, or memory was not given back; 2: there is no GPU.
"""

import argparse
import gc
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks import gpu_engine as engines
from benchmarks.gpu_peer import peer_rate

ROOT = Path(__file__).parents[1]
# Rounding to 8 bits in every layer moves a log-probability by less than this.
_BF16_LIMIT = 0.3
_FLOAT_LIMIT = 1e-3
_SPARE = 64 * 2**20  # bytes of the device that others may take or free meanwhile


@dataclass(frozen=True)
class Row:
    """One figure, and what was hoped for."""

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    config: engines.ModelConfig
    small: engines.ModelConfig
    dtype: str
    tokens: int  # of an answer
    prompt: int  # of the streams
    streams: int
    long_prompt: int
    copied: int  # bytes


FULL = Plan(engines.LARGE, engines.SMALL, "bfloat16", 128, 128, 64, 8192, 2**31)
TINY = Plan(engines.TINY, engines.TINY, "float32", 6, 8, 4, 64, 2**20)


def main() -> int:
    """Measure, print, write."""
    arguments = _parser().parse_args()
    device = arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        built = "" if torch.version.cuda else "; this torch is built without CUDA"
        print(f"No GPU: torch.cuda.is_available() is false{built}. Nothing was measured.")
        return 2
    plan = TINY if arguments.tiny else FULL
    if arguments.hold:
        return _hold(plan, device)
    rows, notes = [], [f"device: {_name(device)}; torch {torch.__version__}"]
    rows += _check_answers(plan, device)
    rows += _check_memory(device, notes, tiny=arguments.tiny)
    rows += _measure(plan, device, notes, with_peer=arguments.peer)
    _print(rows, notes)
    report = {"notes": notes, "rows": [asdict(row) for row in rows]}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    wrong = [row.name for row in rows if row.unit == "check" and not row.met]
    if wrong:
        print("Wrong: " + ", ".join(wrong))
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a tiny model: does it run at all?")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench-gpu.json")
    parser.add_argument("--no-peer", dest="peer", action="store_false", help="no transformers")
    parser.add_argument("--hold", action="store_true", help=argparse.SUPPRESS)
    return parser


def _check_answers(plan, device):
    """Greedy answers of a small model: fused float32 and bfloat16 against plain float32."""
    (prompt,) = engines.prompts(plan.small, 1, 40)
    count = 4 * plan.tokens
    positions = 2 * (len(prompt) + count)
    exact = engines.make(plan.small, device, "float32", reference=True, positions=positions)
    expected, gaps = engines.top_gaps(exact, prompt, count)
    for name, dtype, limit in (
        ("float32 answers equal plain torch's", "float32", _FLOAT_LIMIT),
        ("bfloat16 answers equal float32's up to rounding", "bfloat16", _BF16_LIMIT),
    ):
        engine = engines.make(plan.small, device, dtype, positions=positions)
        (answer,) = engines.run(engine, [prompt], count).tokens
        pairs = zip(answer, expected, strict=True)
        same = next((at for at, (a, b) in enumerate(pairs) if a != b), count)
        # Where they part, the two likeliest tokens must have been as good as equal.
        right = same == count or gaps[same] < limit
        yield Row(name, same, "check", f"{count}, or parting at a gap < {limit}", right)


def _check_memory(device, notes, *, tiny):
    """An engine's process ends, and the device has its memory back."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--hold", "--device", device]
    free = _free(device)
    with subprocess.Popen(
        command + ["--tiny"] * tiny, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as child:
        ready = child.stdout.readline().strip() == b"ready"
        held = free - _free(device)
        child.stdin.close()
        code = child.wait()
    lost = free - _free(device)
    if device == "cpu":
        notes.append("memory of a device: not measured on a CPU")
        held = lost = 0
    yield Row("an engine's process holds", held / 2**30, "GiB")
    right = ready and code == 0 and lost < _SPARE
    yield Row("lost after it ended", lost / 2**30, "check", "0 GiB", right)


def _hold(plan, device):
    """The child of _check_memory: an engine that has worked, until its input ends."""
    engine = engines.make(plan.config, device, plan.dtype, positions=1024)
    engines.run(engine, engines.prompts(plan.config, 1, 8), 4)
    print("ready", flush=True)
    sys.stdin.read()
    return 0


def _measure(plan, device, notes, *, with_peer):
    yield from _measure_device(plan, device)
    together = None
    for row in _measure_engine(plan, device):
        together = row.value
        yield row
    # The engine is gone; what it held is for the next one.
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    if not with_peer:
        notes.append("transformers: not measured: not asked for")
        return
    many = engines.prompts(plan.config, plan.streams, plan.prompt)
    try:
        how, peer = peer_rate(plan.config, device, many, plan.tokens)
    except ImportError as error:
        notes.append(f"transformers: not measured: {error}")
        return
    notes.append(f"transformers: {how}")
    yield Row(f"{plan.streams} streams, transformers", peer, "tokens/s")
    yield _hoped(device, "ratio", together / peer, "x", 2)


def _measure_device(plan, device):
    yield Row("copy bandwidth", engines.copy_bandwidth(device, plan.copied) / 1e9, "GB/s")
    if device == "cuda":
        for name, ours, cublas in engines.product_rates(plan.config, device):
            yield Row(f"one row, {name}", ours / 1e9, "GB/s")
            yield Row(f"one row, {name}, cuBLAS", cublas / 1e9, "GB/s")


def _measure_engine(plan, device):
    """One stream, a prompt, and last, many streams."""
    config, count = plan.config, plan.tokens
    needed = plan.streams * (plan.prompt + count) + plan.long_prompt
    engine = engines.make(config, device, plan.dtype, positions=2 * needed)
    one = engines.prompts(config, 1, plan.prompt)
    rate = engines.median(lambda: engines.run(engine, one, count).decode_rate)
    width = 2 if plan.dtype == "bfloat16" else 4
    read = engines.bytes_per_token(config, width, plan.prompt + count // 2)
    yield Row("decode, one stream", rate, "tokens/s")
    share = 100 * rate * read / engines.copy_bandwidth(device, plan.copied)
    yield _hoped(device, "share of the bandwidth bound", share, "%", 85)
    first = engines.median(lambda: engines.run(engine, one, 1).first[0])
    yield Row(f"first token, {plan.prompt} tokens", 1000 * first, "ms")
    long = engines.prompts(config, 1, plan.long_prompt)
    seconds = engines.median(lambda: engines.run(engine, long, 1).first[0])
    yield Row(f"prefill, {plan.long_prompt} tokens", plan.long_prompt / seconds, "tokens/s")
    many = engines.prompts(config, plan.streams, plan.prompt)
    together = engines.median(lambda: engines.run(engine, many, count).rate)
    yield Row(f"{plan.streams} streams", together, "tokens/s")


def _hoped(device, name, value, unit, least):
    """A figure with its target, which is a GPU's."""
    return Row(name, value, unit, f">= {least}", value >= least if device == "cuda" else None)


def _name(device):
    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


def _free(device):
    return torch.cuda.mem_get_info()[0] if device == "cuda" else 0


def _print(rows, notes):
    for note in notes:
        print(note)
    width = max(len(row.name) for row in rows)
    for row in rows:
        verdict = {None: "", True: "met", False: "MISSED"}[row.met]
        target = f"{row.target}: {verdict}" if row.target else ""
        unit = "" if row.unit == "check" else row.unit
        print(f"{row.name:{width}}  {row.value:12.2f} {unit:8}  {target}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
