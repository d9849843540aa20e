"""The GPU's runner and sampler in a whole engine, against the CPU's.

Without CUDA the kernels are interpreted and decoding is not captured; everything else is what runs
on a GPU. With CUDA, the captured graphs are compared with the same steps uncaptured.
"""

import random

import msgspec
import numpy as np
import pytest
import torch

from factory import TINY, tiny_adapter, tiny_version
from llmosd.engine import cpu, loader
from llmosd.engine.kv_cache import BLOCK_TOKENS
from llmosd.engine.loader import load
from llmosd.ipc.messages import LoadEngine, SamplingSpec, Scoring, Submit

pytest.importorskip("triton", reason="triton is not installed: torch's CUDA build brings it")

from llmosd.engine.cuda import choices, runner

HAS_CUDA = torch.cuda.is_available()
DEVICE = "cuda" if HAS_CUDA else "cpu"
NEEDS_CUDA = pytest.mark.skipif(not HAS_CUDA, reason="no CUDA device: graphs cannot be captured")
OPTIONS = {"mistral": {"sliding_window": 24}}
GREEDY = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})
SAMPLED = msgspec.structs.replace(GREEDY, temperature=0.8, top_p=0.9, seed=5)


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    made = {}

    def version(family):
        if family not in made:
            root = tmp_path_factory.mktemp(family)
            output = root / "output"
            output.mkdir()
            TINY[family](root / "source", **OPTIONS.get(family, {}))
            tiny_version(root / "source", output)
            made[family] = output
        return made[family]

    return version


def make(folder, device, dtype="float32", *, blocks=64, max_sequences=6, step_tokens=24):
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    numbers = 2 * config["num_layers"] * config["num_kv_heads"] * config["head_dim"]
    width = 2 if (device, dtype) == ("gpu", "bfloat16") else 4
    order = LoadEngine(
        str(folder), DEVICE if device == "gpu" else "cpu", dtype, "",
        blocks * BLOCK_TOKENS * numbers * width, max_sequences, step_tokens, 0, 2, 0.5,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        if device == "gpu" and not HAS_CUDA:
            patch.setitem(cpu.RUNNERS, dtype, choices.RUNNERS[dtype])
            # There is nothing to compile, and interpreting takes its time.
            patch.setattr(loader, "_warm_up", lambda *_: None)
        engine, ready = load(order, lambda *_: None)
    assert ready.kv_blocks == blocks
    assert ready.runner == ("triton-cuda" if device == "gpu" else "numba-cpu")
    return engine


def requests(count):
    rng = random.Random(2)
    for at in range(count):
        prompt = [rng.randrange(256) for _ in range(rng.randrange(9, 26))]
        spec = SAMPLED if at % 2 else GREEDY
        yield Submit(at, prompt, 1 + at % 2, rng.randrange(3, 6), 0, [], spec, at % 3 - 1)


def to_score(number, ids):
    """A text whose tokens are to be scored, but for the first one."""
    *read, end = ids
    return Submit(number, read, 1, 0, 0, [], GREEDY, -1, task="score", scoring=Scoring(1, end))


def finish(engine, submits):
    answers, scored = {}, {}
    for submit in submits:
        engine.submit(submit)
    while engine.has_work:
        result = engine.step()
        for out in result.tokens:
            answers.setdefault((out.id, out.choice), []).append(out)
        for each in result.scored:
            scored.setdefault(each.id, []).extend(each.logprobs)
    assert engine.stats.kv_blocks_used == 0
    return answers, scored


def agree(actual, expected):
    assert actual.keys() == expected.keys()
    for key, answer in actual.items():
        assert [out.token for out in answer] == [out.token for out in expected[key]]
        for out, known in zip(answer, expected[key], strict=True):
            if known.logprob is not None:
                assert out.logprob == pytest.approx(known.logprob, abs=1e-4)


@pytest.mark.parametrize("family", TINY)
def test_answers_are_the_cpu_s(versions, family):
    """Every family: prompts in chunks beside decoding, several answers, log-probabilities."""
    submits = [*requests(3), to_score(9, range(20))]
    answers, scored = finish(make(versions(family), "gpu"), submits)
    expected, expected_scores = finish(make(versions(family), "cpu"), submits)
    agree(answers, expected)
    assert scored[9] == pytest.approx(expected_scores[9], abs=1e-4)


def test_adapters_beside_their_base(versions, tmp_path):
    """Steps with rows of two adapters and of none, chunks and single tokens; then none again."""
    submits = [
        msgspec.structs.replace(submit, adapter=adapter)
        for submit, adapter in zip(requests(6), [0, 1, 2, 1, 0, 2], strict=True)
    ]
    found = []
    for device in ("gpu", "cpu"):
        engine = make(versions("llama"), device)
        for number, targets in {
            1: ["q_proj", "v_proj"],
            2: ["o_proj", "up_proj", "down_proj"],
        }.items():
            tiny_adapter(versions("llama"), tmp_path / f"adapter{number}", targets, seed=number)
            layers = list(engine.adapter_layers(tmp_path / f"adapter{number}"))
            engine.set_adapter(number, layers)
        plain = [msgspec.structs.replace(submit, adapter=0) for submit in submits]
        found.append([finish(engine, each)[0] for each in (submits, plain)])
    (gpu, gpu_plain), (cpu, cpu_plain) = found
    agree(gpu, cpu)
    agree(gpu_plain, cpu_plain)
    assert any(
        [out.token for out in gpu[key]] != [out.token for out in gpu_plain[key]] for key in gpu
    )


def test_preemption_and_moved_rows(versions):
    """Too few blocks: sequences lose theirs and get others, and rows of the tables change owners."""
    submits = [Submit(at, [at + 3] * 28, 1, 8, 0, [], GREEDY, -1) for at in range(3)]
    engine = make(versions("llama"), "gpu", blocks=7)
    answers, _ = finish(engine, submits)
    assert engine.stats.preemptions > 0
    agree(answers, finish(make(versions("llama"), "cpu"), submits)[0])


def test_bfloat16_is_near(versions):
    """Log-probabilities of a text, in bfloat16, within its rounding of float32's."""
    submit = to_score(1, [at * 5 % 256 for at in range(30)])
    scores = [
        np.array(finish(make(versions("llama"), "gpu", dtype), [submit])[1][1])
        for dtype in ("float32", "bfloat16")
    ]
    difference = np.abs(scores[0] - scores[1])
    assert 0 < difference.mean() < 0.05


def decoding(engine, count):
    """Prefill `count` prompts, and stop where all of them decode."""
    for at in range(count):
        engine.submit(Submit(at, [7 + at] * (3 + 7 * at), 1, 50, 0, [], GREEDY, -1))
    while len(engine._scheduler.running) < count or any(
        sequence.num_pending > 1 for sequence in engine._scheduler.running
    ):
        engine.step()
    return engine._scheduler.schedule()


@pytest.mark.parametrize("count", [1, 3])
def test_decoding_is_what_the_plain_runner_computes(versions, count):
    """Logits, keys and values of a bucket with padding; no other block is touched."""
    engine = make(versions("qwen3"), "gpu")
    slices = decoding(engine, count)
    gpu = engine._runner
    before = [part.clone() for part in gpu._cache.whole]
    expected = super(runner.CudaRunner, gpu).run(slices).clone()
    filled = [part.clone() for part in gpu._cache.whole]
    for part, old in zip(gpu._cache.whole, before, strict=True):
        part.copy_(old)
    logits = gpu.run(slices)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    for part, known, old in zip(gpu._cache.whole, filled, before, strict=True):
        torch.testing.assert_close(part, known, rtol=1e-5, atol=1e-5)
        changed = (part != old).flatten(2).any(2).any(0).nonzero().flatten().tolist()
        written = {s.sequence.blocks[s.sequence.computed // BLOCK_TOKENS] for s in slices}
        assert set(changed) == written


@NEEDS_CUDA
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("count", [1, 3, 6])
def test_a_graph_computes_what_its_step_does(versions, dtype, count):
    """Replayed or computed anew: the same logits, to the bit."""
    engine = make(versions("llama"), "gpu", dtype)
    slices = decoding(engine, count)
    replayed = engine._runner.run(slices).clone()
    step = engine._runner._step
    with torch.inference_mode():
        computed = step.compute(step.fill(slices))[:count]
    assert torch.equal(replayed, computed)
