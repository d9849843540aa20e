"""The engine on a tiny random model: batching, preemption, forks, cancels; against itself alone.

What must not change an answer is tried in every arithmetic of the CPU.
"""

import dataclasses
import random

import msgspec
import pytest

from factory import tiny_adapter, tiny_llama_folder, tiny_version
from llmosd.engine.loader import load
from llmosd.errors import ContextLengthExceeded, EngineLost, InvalidField
from llmosd.ipc.messages import LoadEngine, SamplingSpec, Scoring, Submit

# Keys and values, 2 layers, 2 key-value heads, 16 positions, 16 dimensions; float32 or bfloat16.
BLOCK_BYTES = {"float32": 2 * 2 * 2 * 16 * 16 * 4, "int8": 2 * 2 * 2 * 16 * 16 * 2}
BLOCK_BYTES["int4"] = BLOCK_BYTES["int8"]
# Numbers as a front gives them, and what each changes.
ADAPTERS = {5: ["q_proj", "v_proj"], 9: ["k_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}
SAMPLED = SamplingSpec(1.3, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 42, {})
GREEDY = msgspec.structs.replace(SAMPLED, temperature=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("version")
    source, output = root / "source", root / "output"
    output.mkdir()
    tiny_llama_folder(source)
    tiny_version(source, output)
    for number, targets in ADAPTERS.items():
        tiny_adapter(output, root / f"adapter{number}", targets, seed=number)
    return output


def make(folder, *, dtype="float32", blocks=512, max_sequences=32, step_tokens=64, draft_tokens=8):
    cache = blocks * BLOCK_BYTES[dtype]
    order = LoadEngine(
        str(folder), "cpu", dtype, "", cache, max_sequences, step_tokens, draft_tokens,
        threads=2, heartbeat_seconds=0.5,
    )  # fmt: skip
    engine, ready = load(order, lambda *_: None)
    assert ready.kv_blocks == blocks
    for number in ADAPTERS:
        layers = engine.adapter_layers(folder.parent / f"adapter{number}")
        engine.set_adapter(number, list(layers))
    return engine


def requests(count, seed=0):
    """Mixed lengths, answers, samplings, classes, tenants and adapters."""
    rng = random.Random(seed)
    for at in range(count):
        prompt = [rng.randrange(256) for _ in range(rng.randrange(1, 90))]
        spec = msgspec.structs.replace(
            SAMPLED, seed=at, top_k=rng.choice([0, 5]), top_p=rng.choice([1.0, 0.8]),
            repetition_penalty=rng.choice([1.0, 1.3]), presence_penalty=rng.choice([0.0, 0.5]),
        )  # fmt: skip
        yield Submit(
            at, prompt, rng.randrange(1, 4), rng.randrange(1, 30), 0, [], spec, at % 4 - 1,
            tenant="ab"[at % 2], priority=at % 3, adapter=[0, *ADAPTERS][at % 5 % 3],
        )  # fmt: skip


def finish(engine, submits):
    """All answers: {(id, choice): [TokenOut, ...]}; and nothing is held at the end."""
    for submit in submits:
        engine.submit(submit)
    answers = {}
    while engine.has_work:
        for out in engine.step().tokens:
            answers.setdefault((out.id, out.choice), []).append(out)
    assert engine.stats.kv_blocks_used == 0
    assert engine.stats.running == engine.stats.waiting == 0
    return answers


@pytest.fixture(scope="module", params=BLOCK_BYTES)
def dtype(request):
    """Each arithmetic in turn."""
    return request.param


@pytest.fixture(scope="module")
def alone(folder, dtype):
    """Each request run with nothing beside it, one token per step."""
    engine = make(folder, dtype=dtype, draft_tokens=0)
    answers = {}
    for submit in requests(24):
        answers.update(finish(engine, [submit]))
    return answers


@pytest.mark.parametrize("step_tokens", [32, 64, 512])
def test_batch_equals_alone(folder, dtype, alone, step_tokens):
    """Tokens and log-probabilities to the bit, for any size of prompt chunks."""
    engine = make(folder, dtype=dtype, step_tokens=step_tokens)
    assert finish(engine, requests(24)) == alone
    assert engine.stats.preemptions == 0


def test_preemption_changes_nothing(folder, dtype, alone):
    """With room for a fifth of the work, sequences are computed again, and say the same."""
    engine = make(folder, dtype=dtype, blocks=14)
    assert finish(engine, requests(24)) == alone
    assert engine.stats.preemptions > 0


def test_cached_prefixes_change_nothing(folder, dtype, alone):
    """A second round finds what the first one computed, in order or all at once."""
    engine = make(folder, dtype=dtype)
    for submits in ([submit] for submit in requests(24)):
        finish(engine, submits)
    known = engine.stats.cached_tokens
    assert finish(engine, requests(24)) == alone
    full = sum((len(submit.prompt) - 1) // 16 * 16 for submit in requests(24))
    assert engine.stats.cached_tokens - known == full > 0


def test_a_growing_chat_is_computed_once(folder):
    """The next turn finds the answer before it too; its own last token is always computed."""
    engine = make(folder)
    prompt = list(range(48))
    first, started = _run(engine, Submit(1, prompt, 1, 20, 0, [], GREEDY, -1))
    assert started.cached == 0
    _, again = _run(engine, Submit(2, prompt, 1, 20, 0, [], GREEDY, -1))
    assert again.cached == 32
    longer = [*prompt, *first, 5, 6, 7]
    _, grown = _run(engine, Submit(3, longer, 1, 20, 0, [], GREEDY, -1))
    assert grown.cached == 64  # of 48 + 19 tokens whose keys and values there were


def test_tenants_do_not_share(folder):
    """What one tenant's prompt left cannot be found, or timed, by another."""
    engine = make(folder)
    submit = Submit(1, list(range(100)), 1, 5, 0, [], GREEDY, -1, "one")
    said, _ = _run(engine, submit)
    _, other = _run(engine, msgspec.structs.replace(submit, id=2, tenant="two"))
    again, own = _run(engine, msgspec.structs.replace(submit, id=3))
    assert (other.cached, own.cached) == (0, 96)
    assert again == said


def test_cached_blocks_give_way(folder):
    """A full cache serves new prompts, and forgets what was used longest ago, its end first."""
    engine = make(folder, blocks=8)
    submits = [Submit(at, [at] * 50, 1, 2, 0, [], GREEDY, -1) for at in range(4)]
    for submit in submits[:3]:
        _run(engine, submit)
    assert engine.stats.kv_blocks_used == 0
    assert _run(engine, submits[2])[1].cached == 48
    assert _run(engine, submits[0])[1].cached == 16
    assert _run(engine, submits[2])[1].cached == 48


def test_a_damaged_block_would_be_seen(folder):
    """The control: an answer through a wrong cached block is another answer."""
    engine = make(folder)
    submit = Submit(1, list(range(60)), 1, 20, 0, [], GREEDY, 5)
    said, _ = _run(engine, submit)
    for part in engine._runner._cache.whole:
        part.copy_(part.flip(1))
    assert _run(engine, submit)[0] != said


def _run(engine, submit):
    """One generation's tokens, and how it started."""
    engine.submit(submit)
    tokens, started = [], []
    while engine.has_work:
        result = engine.step()
        tokens += [out.token for out in result.tokens]
        started += result.started
    (only,) = started
    return tokens, only


@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_guesses_change_nothing(folder, dtype, temperature):
    """Answers that repeat themselves take fewer steps, and have the same bits, alone or beside.

    A random model repeats nothing; one that may say two words only does.
    """
    spec = msgspec.structs.replace(SAMPLED, temperature=temperature, logit_bias={7: 40.0, 8: 40.0})
    submits = [
        Submit(at, [at, 7, 8, 9] * 6, 1 + at % 2, 60, 0, [], spec, at - 1) for at in range(4)
    ]
    plain = make(folder, dtype=dtype, draft_tokens=0)
    expected = finish(plain, submits)
    assert plain.stats.drafted_tokens == 0
    engine = make(folder, dtype=dtype)
    assert finish(engine, submits) == expected
    stats = engine.stats
    assert 0 < stats.accepted_tokens <= stats.drafted_tokens
    assert stats.steps <= plain.stats.steps - 5
    for submit in submits:
        alone = {key: answer for key, answer in expected.items() if key[0] == submit.id}
        assert finish(make(folder, dtype=dtype, blocks=12), [submit]) == alone


def test_guesses_keep_to_the_limits(folder):
    """Stop tokens, min_tokens and max_tokens hold inside a row of right guesses."""
    looping = Submit(1, [5, 6, 7] * 10, 1, 40, 0, [], GREEDY, -1)
    said = [out.token for out in finish(make(folder, draft_tokens=0), [looping])[1, 0]]
    for count in range(30, 41):
        engine = make(folder)
        short = msgspec.structs.replace(looping, max_tokens=count)
        outs = finish(engine, [short])[1, 0]
        assert [out.token for out in outs] == said[:count]
        assert [out.finish for out in outs] == [""] * (count - 1) + ["length"]
    for stop in set(said[20:]):
        submit = msgspec.structs.replace(looping, stop_ids=[stop], min_tokens=15)
        assert finish(make(folder), [submit]) == finish(make(folder, draft_tokens=0), [submit])


def test_wrong_guesses_would_be_seen(folder):
    """The control: taking a guess without checking it gives another answer."""
    submit = Submit(1, [4, 5, 6, 1, 4, 5, 6, 2, 4, 5, 6] * 3, 1, 60, 0, [], SAMPLED, -1)
    spec = msgspec.structs.replace(SAMPLED, temperature=0.3)
    submit = msgspec.structs.replace(submit, sampling=spec)
    expected = finish(make(folder, draft_tokens=0), [submit])
    engine = make(folder)
    take = engine._take

    def believe(part, outs):
        guesses = [*part.drafts, outs[-1].token]
        pairs = zip(outs, guesses, strict=True)
        return take(part, [msgspec.structs.replace(out, token=token) for out, token in pairs])

    engine._take = believe
    assert finish(engine, [submit]) != expected
    assert engine.stats.accepted_tokens > 0


def test_seed_decides(folder):
    """Another seed says something else; answers of one request differ."""
    engine = make(folder)
    submit = Submit(1, [1, 2, 3], 3, 20, 0, [], SAMPLED, -1)
    other = Submit(2, [1, 2, 3], 1, 20, 0, [], msgspec.structs.replace(SAMPLED, seed=43), -1)
    answers = finish(engine, [submit, other])
    texts = {tuple(out.token for out in answer) for answer in answers.values()}
    assert len(texts) == 4


def test_stop_tokens_and_min_tokens(folder):
    """A stop token ends an answer and is part of it; before min_tokens it cannot be drawn."""
    engine = make(folder)
    plain = [out.token for out in finish(engine, [_greedy(1)])[1, 0]]
    stop = plain[5]
    first = plain.index(stop)
    stopped = finish(engine, [_greedy(2, stop_ids=[stop])])[2, 0]
    assert [out.token for out in stopped] == plain[: first + 1]
    assert [out.finish for out in stopped] == [""] * first + ["stop"]
    later = finish(engine, [_greedy(3, stop_ids=[stop], min_tokens=12)])[3, 0]
    assert len(later) > 12
    assert stop not in [out.token for out in later[:12]]


def _greedy(identifier, *, stop_ids=(), min_tokens=0):
    return Submit(identifier, [9, 8, 7], 1, 20, min_tokens, list(stop_ids), GREEDY, -1)


def test_cancel_frees_at_once(folder):
    """A cancelled generation, or answer, holds nothing and says nothing from the next step on."""
    engine = make(folder)
    engine.submit(Submit(1, [1] * 40, 2, 100, 0, [], SAMPLED, -1))
    engine.submit(Submit(2, [2] * 40, 1, 100, 0, [], SAMPLED, -1))
    for _ in range(5):
        engine.step()
    used = engine.stats.kv_blocks_used
    engine.cancel(1, 0)
    assert 0 < engine.stats.kv_blocks_used < used
    assert {(out.id, out.choice) for out in engine.step().tokens} == {(1, 1), (2, 0)}
    engine.cancel(1, -1)
    assert {(out.id, out.choice) for out in engine.step().tokens} == {(2, 0)}
    engine.cancel(2, -1)
    assert engine.stats.kv_blocks_used == 0
    assert not engine.has_work


def test_decoding_goes_on_beside_a_long_prompt(folder):
    """A prompt of many chunks delays no running stream: every step draws for it."""
    engine = make(folder, step_tokens=32, max_sequences=8)
    engine.submit(Submit(1, [1, 2], 1, 50, 0, [], GREEDY, -1))
    engine.step()
    engine.submit(Submit(2, [3] * 200, 1, 5, 0, [], GREEDY, -1))
    for _ in range(6):
        assert [out.id for out in engine.step().tokens] == [1]


def test_refusals(folder):
    """What can never run is refused with the numbers."""
    engine = make(folder, blocks=4, max_sequences=8)
    with pytest.raises(ContextLengthExceeded) as caught:
        engine.submit(Submit(1, [1] * 60, 1, 5, 0, [], GREEDY, -1))
    assert caught.value.metadata == {"limit": "64", "actual": "65"}
    with pytest.raises(InvalidField, match=r"sampling\.n"):
        engine.submit(Submit(2, [1], 9, 5, 0, [], GREEDY, -1))
    assert not engine.has_work


def test_torch_ops_agree(folder):
    """The accelerators' arithmetic, run on this CPU, gives the kernels' numbers."""
    import torch

    from llmosd.architectures.torch_ops import TorchOps
    from llmosd.engine import choices, cpu

    engine = make(folder)
    expected = finish(engine, requests(8, seed=3))
    build = choices.with_ops(TorchOps)
    with pytest.MonkeyPatch.context() as patch:
        choice = dataclasses.replace(cpu.RUNNERS["float32"], build=build)
        patch.setitem(cpu.RUNNERS, "float32", choice)
        answers = finish(make(folder), requests(8, seed=3))
    assert answers.keys() == expected.keys()
    for key, answer in answers.items():
        assert [out.token for out in answer] == [out.token for out in expected[key]]
        for out, known in zip(answer, expected[key], strict=True):
            if known.logprob is not None:
                assert out.logprob == pytest.approx(known.logprob, abs=1e-4)
    assert torch.get_num_threads() == 2


PASSIVE = {
    **{pooling: {"task": "embed", "pooling": pooling} for pooling in ("mean", "last", "first")},
    "score": {"task": "score", "scoring": Scoring(70, 9, 2)},
}


@pytest.mark.parametrize("how", PASSIVE)
def test_a_question_that_loses_its_place(folder, how):
    """Interrupted after two of three pieces by a higher class: the answer is what it was alone."""
    question = Submit(
        1, [at * 7 % 250 for at in range(80)], 1, 0, 0, [], GREEDY, -1, **PASSIVE[how]
    )
    above = Submit(2, list(range(60)), 1, 4, 0, [], GREEDY, -1, priority=2)
    answers = []
    for others in ([], [above]):
        engine = make(folder, blocks=7, max_sequences=4, step_tokens=32)
        engine.submit(question)
        found = [*engine.step().scored, *engine.step().scored]
        for other in others:
            engine.submit(other)
        while engine.has_work:
            found += engine.step().scored
        assert bool(engine.stats.preemptions) is bool(others)
        assert found[-1].done
        answers.append({(each.first, tuple(each.logprobs)) for each in found})
    assert answers[0] == answers[1]


def test_an_adapter_finds_nothing_of_another(folder, dtype):
    """The same prompt through the base, each adapter, and again: as if the cache were empty."""
    prompt = [at % 200 for at in range(50)]
    submits = [
        Submit(at, prompt, 1, 12, 0, [], GREEDY, 0, adapter=adapter)
        for at, adapter in enumerate([0, *ADAPTERS, 0, *ADAPTERS])
    ]
    engine = make(folder, dtype=dtype)
    found = [next(iter(finish(engine, [submit]).values())) for submit in submits]
    assert engine.stats.cached_tokens == 3 * 48
    for at, submit in enumerate(submits[:3]):
        alone = next(iter(finish(make(folder, dtype=dtype), [submit]).values()))
        said = [
            [(out.token, out.logprob) for out in each] for each in (alone, found[at], found[at + 3])
        ]
        assert said[0] == said[1] == said[2]
    assert len({tuple(out.logprob for out in each) for each in found}) == 3


def test_adapters_come_and_go(folder):
    """A number that is not there is refused; a place that was left is taken by the next one."""
    engine = make(folder)
    engine.set_adapter(7, None)  # that never came
    submit = Submit(0, [1, 2, 3], 1, 5, 0, [], GREEDY, 0, adapter=9)
    before = finish(engine, [submit])
    engine.set_adapter(9, None)
    with pytest.raises(EngineLost):
        engine.submit(submit)
    engine.set_adapter(12, list(engine.adapter_layers(folder.parent / "adapter9")))
    assert finish(engine, [msgspec.structs.replace(submit, adapter=12)]) == before
    assert finish(engine, [msgspec.structs.replace(submit, adapter=5)]) != before
