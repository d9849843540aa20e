"""Beam search: against trying everything, against transformers, and in company."""

import itertools
import math
import random

import msgspec
import pytest
import torch
import transformers
from safetensors.torch import save_file

from factory import tiny_llama_folder, tiny_version
from llmosd.architectures.families.table import block_bytes, family_of
from llmosd.architectures.trainable.registry import from_scratch
from llmosd.engine.loader import load
from llmosd.errors import ContextLengthExceeded, InvalidField, QueueFull
from llmosd.ipc.messages import LoadEngine, SamplingSpec, Submit
from tiny_training import tiny_config

WORDS, STOP, LONGEST = 5, 1, 4
GREEDY = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})


def engine_of(folder, *, blocks=400, dtype="float32", size=None, max_sequences=128):
    order = LoadEngine(
        str(folder), "cpu", dtype, "", blocks * size, max_sequences, 128, 8,
        threads=2, heartbeat_seconds=0.5,
    )  # fmt: skip
    engine, ready = load(order, lambda *_: None)
    assert ready.kv_blocks == min(blocks, max_sequences if ready.kv_block_tokens > 16 else blocks)
    return engine


@pytest.fixture(scope="module", params=["llama", "gpt2", "lstm", "seq2seq", "seq2seq-lstm"])
def network(request):
    """Random, of five words, and sure enough of itself that orders differ."""
    config = tiny_config(
        request.param, vocab_size=WORDS, start_id=0, encoder_layers=2, num_kv_heads=4,
        tie_embeddings=False, activation="gelu_new" if request.param == "gpt2" else "silu",
    )  # fmt: skip
    made = from_scratch(config, 3)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    return made.eval()


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    made = tmp_path_factory.mktemp("version")
    (made / "config.json").write_bytes(msgspec.json.encode(network.config))
    save_file(network.state_dict(), made / "model.safetensors")
    return made


def make(network, folder, **more):
    config = network.config
    positions = 16 if family_of(config.architecture).memory(config).layers else 0
    return engine_of(folder, size=block_bytes(config, positions, 4), **more)


def search(at, prompt, *, beams, answers=1, penalty=1.0, longest=LONGEST, least=0, bias=None):
    spec = msgspec.structs.replace(
        GREEDY, beams=beams, length_penalty=penalty, logit_bias=bias or {}
    )
    return Submit(at, prompt, answers, longest, least, [STOP], spec, 0)


def finish(engine, submits):
    for submit in submits:
        engine.submit(submit)
    answers = {}
    while engine.has_work:
        for out in engine.step().tokens:
            answers.setdefault((out.id, out.choice), []).append(out)
    assert engine.stats.kv_blocks_used == 0
    assert not engine._beams._groups
    return answers


def tokens_of(answers):
    return [[out.token for out in answer] for _, answer in sorted(answers.items())]


def everything(network, prompt, penalty, least=0):
    """Every answer there is, best first: (score, tokens)."""
    answers = [
        words
        for length in range(1, LONGEST + 1)
        for words in itertools.product(range(WORDS), repeat=length)
        if STOP not in words[:-1]
        and (length == LONGEST or words[-1] == STOP)
        and not (words[-1] == STOP and length <= least)
    ]
    lengths = tuple(len(prompt) + len(words) for words in answers)
    ids = torch.tensor([token for words in answers for token in (*prompt, *words)])
    with torch.no_grad():
        scores = (network(ids, lengths) @ network.head.T).split(lengths)
    found = []
    for words, rows in zip(answers, scores, strict=True):
        own = rows[len(prompt) - 1 : -1].clone()
        own[:least, STOP] = -math.inf
        total = float(own.log_softmax(1)[range(len(words)), words].sum())
        found.append((total / len(words) ** penalty, list(words)))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_wide_enough_it_finds_the_best(network, folder, penalty):
    """As many beams as beginnings: the best of all answers, in order, with their scores."""
    engine = make(network, folder)
    prompt = [2, 3, 4, 0]
    best = everything(network, prompt, penalty)[:6]
    # Nothing is cut that could still win: as long as the penalty lets no longer answer win later.
    beams = WORDS ** (LONGEST - 1)
    answers = finish(engine, [search(0, prompt, beams=beams, answers=6, penalty=penalty)])
    if penalty == 0.0:
        assert tokens_of(answers) == [words for _, words in best]
    assert tokens_of(answers)[0] == best[0][1]
    for (_, answer), (score, words) in zip(sorted(answers.items()), best, strict=True):
        if [out.token for out in answer] == words:
            found = sum(out.logprob for out in answer) / len(answer) ** penalty
            assert found == pytest.approx(score, abs=1e-4)
    assert [answer[-1].finish for answer in answers.values()] == [
        "stop" if answer[-1].token == STOP else "length" for answer in answers.values()
    ]


def test_no_end_before_min_tokens(network, folder):
    """What is forbidden is not followed."""
    engine = make(network, folder)
    prompt = [2, 3, 4, 0]
    best = everything(network, prompt, 0.0, least=2)[0]
    answers = finish(engine, [search(0, prompt, beams=125, penalty=0.0, least=2)])
    assert tokens_of(answers) == [best[1]]


def test_one_beam_is_greedy(network, folder):
    """The least there is."""
    engine = make(network, folder)
    for prompt in ([2, 3, 0], [4, 4, 2, 3, 0]):
        plain = finish(engine, [Submit(0, prompt, 1, 12, 0, [STOP], GREEDY, 0)])
        found = finish(engine, [search(0, prompt, beams=1, longest=12)])
        assert tokens_of(found) == tokens_of(plain)


def test_company_changes_nothing(network, folder):
    """Beside drawn answers and other searches, with room for all or not: the same bits."""
    rng = random.Random(0)
    submits = []
    for at in range(12):
        prompt = [*(rng.randrange(2, WORDS) for _ in range(rng.randrange(1, 20))), 0]
        if at % 3:
            submits.append(search(at, prompt, beams=3, answers=2, longest=24, least=12))
        else:
            spec = msgspec.structs.replace(GREEDY, temperature=1.0, seed=at)
            submits.append(Submit(at, prompt, 2, 24, 12, [STOP], spec, 0))
    engine = make(network, folder)
    alone = {}
    for submit in submits:
        alone |= finish(engine, [submit])
    assert finish(engine, submits) == alone
    paged = family_of(network.config.architecture).memory(network.config).layers
    small = make(network, folder, blocks=12 if paged else 6, max_sequences=12)
    assert finish(small, submits) == alone
    assert not small.refused
    assert small.stats.preemptions > 0 or not paged


def test_bias_moves_the_search(network, folder):
    """A word that is pushed is said."""
    engine = make(network, folder)
    answers = finish(engine, [search(0, [2, 3, 0], beams=4, bias={4: 50.0})])
    assert tokens_of(answers) == [[4] * LONGEST]


def test_cancelled(network, folder):
    """Nothing is left of it."""
    engine = make(network, folder)
    engine.submit(search(7, [2, 3, 0], beams=4, longest=50, least=50))
    for _ in range(5):
        assert engine.step().tokens == []
    engine.cancel(7, -1)
    assert not engine.has_work
    assert engine.stats.kv_blocks_used == 0
    assert finish(engine, [search(7, [2, 3, 0], beams=4)])


def test_too_much_to_hold(network, folder):
    """More beams than run at once, and longer ones than the cache has room for."""
    engine = make(network, folder, blocks=10, max_sequences=8)
    with pytest.raises(InvalidField, match=r"sampling.beams.*8 at once"):
        engine.submit(search(0, [2, 0], beams=9))
    if engine._pool.num_blocks == 10:
        with pytest.raises(ContextLengthExceeded, match="holds 32"):
            engine.submit(search(0, [2, 0], beams=5, longest=31))


def test_a_search_that_cannot_go_on(network, folder):
    """Where others hold what it needs, and nothing else runs, it is refused: nobody waits forever.

    One whose answers' memory does not grow needs nothing more, and comes to its end.
    """
    grows = family_of(network.config.architecture).memory(network.config).layers > 0
    engine = make(network, folder, blocks=12, max_sequences=12)
    engine.submit(search(0, [2, 3, 4, 0], beams=4, longest=40, least=40))
    engine.step()
    taken = engine._pool.take(engine._pool.num_free)
    said, steps = [], 0
    while engine.has_work:
        said += engine.step().tokens
        steps += 1
        assert steps < 100
    assert bool(said) != grows
    assert [type(error) for error in engine.refused.values()] == [QueueFull] * grows
    engine._pool.release(taken)
    assert engine.stats.kv_blocks_used == 0


@pytest.mark.parametrize("penalty", [0.6, 1.0, 1.8])
def test_as_transformers(tmp_path, penalty):
    """The same weights, prompts, beams and penalty: the same answers with the same scores."""
    source, output = tmp_path / "source", tmp_path / "output"
    output.mkdir()
    tiny_llama_folder(source)
    tiny_version(source, output)
    reference = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    engine = engine_of(output, size=2 * 2 * 2 * 16 * 16 * 4, max_sequences=32)
    rng = random.Random(1)
    for stop in (9, 77):
        prompt = [rng.randrange(256) for _ in range(9)]
        wanted = reference.generate(
            torch.tensor([prompt]), num_beams=6, num_return_sequences=3, max_new_tokens=12,
            do_sample=False, length_penalty=penalty, eos_token_id=stop, pad_token_id=0,
            return_dict_in_generate=True, output_scores=True, early_stopping=False,
        )  # fmt: skip
        spec = msgspec.structs.replace(GREEDY, beams=6, length_penalty=penalty)
        found = finish(engine, [Submit(0, prompt, 3, 12, 0, [stop], spec, 0)])
        for (_, answer), row, score in zip(
            sorted(found.items()), wanted.sequences, wanted.sequences_scores, strict=True
        ):
            tokens = [out.token for out in answer]
            assert tokens == row[9 : 9 + len(tokens)].tolist()
            own = sum(out.logprob for out in answer) / len(tokens) ** penalty
            assert own == pytest.approx(float(score), abs=1e-4)
