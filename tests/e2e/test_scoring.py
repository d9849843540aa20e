"""ScoreText against transformers, beside generations, in pieces, and preempted.

LLMOS_PERPLEXITY says how many tokens of wikitext2 the perplexity test takes; all where it is 0.
"""

import itertools
import math
import os
from pathlib import Path

import pytest
import torch

from llmos_client import ContextLengthExceededError, InvalidFieldError

TEXT = "The old man walked along the shore and counted the boats that came back. " * 12
WIKITEXT = Path(__file__).parents[3] / "shared" / "data" / "wikitext2.test.txt"
WINDOW = 512
TOKENS = int(os.environ.get("LLMOS_PERPLEXITY", "1024"))
# What int8 and int4 may cost, as a share of float32's perplexity.
BOUNDS = {"int8": 1.01, "int4": 1.02}


@torch.inference_mode()
def test_equals_transformers(client, smollm2_reference):
    """Every token's log-probability, their sum, and the perplexity."""
    score = client.score("smollm2", TEXT)
    ids = [token.id for token in score.tokens]
    logprobs = smollm2_reference(torch.tensor([ids])).logits[0, :-1].float().log_softmax(-1)
    expected = logprobs.gather(1, torch.tensor(ids[1:]).unsqueeze(1)).squeeze(1)
    assert score.tokens[0].logprob is None
    assert [token.logprob for token in score.tokens[1:]] == pytest.approx(
        expected.tolist(), abs=2e-3
    )
    assert score.logprob == pytest.approx(expected.double().sum().item(), abs=0.05)
    assert score.perplexity == pytest.approx(math.exp(-score.logprob / (len(ids) - 1)))
    assert b"".join(token.bytes for token in score.tokens).decode() == TEXT


def test_a_generation_scores_as_it_said(client):
    """A drawn token's log-probability is what scoring its text finds, to the bit."""
    answer = client.generate(
        "smollm2", "Once upon a time", temperature=0.0, max_tokens=24, logprobs=0
    )
    prompt = [token.id for token in client.tokenize("smollm2", "Once upon a time")]
    said = answer.choices[0].tokens
    score = client.score("smollm2", tokens=[*prompt, *(token.id for token in said)])
    assert [t.logprob for t in score.tokens[len(prompt) :]] == [t.logprob for t in said]


def test_beside_generations_and_preempted(new_daemon, tiny_folders):
    """In a cache that holds half of what runs, scores and streams are what they are alone."""
    daemon = new_daemon(keep_alive_seconds=-1, kv_cache_bytes=20 * 16 * 512, max_sequences=8)
    daemon.install("tiny", tiny_folders["tiny-llama"])
    daemon.load("tiny")
    texts = [[(7 * at + i * i) % 250 for i in range(150)] for at in range(3)]
    options = {"temperature": 0.0, "max_tokens": 60, "ignore_eos": True, "logprobs": 1}
    with daemon.client() as client:
        alone = [client.score("tiny", tokens=text) for text in texts]
        said = client.generate("tiny", tokens=[1, 2, 3], **options).choices
        with client.converse() as stream:
            for at in range(4):
                stream.start(str(at), "tiny", tokens=[1, 2, 3], **options)
            stream.done_sending()
            assert [client.score("tiny", tokens=text) for text in texts] == alone
            tokens = {str(at): [] for at in range(4)}
            for event in stream:
                tokens[event.generation_id] += getattr(event, "tokens", ())
    assert [tuple(each) for each in tokens.values()] == [said[0].tokens] * 4
    assert daemon.residency("tiny").kv_blocks_used == 0


def test_refusals(daemon, client):
    """One token has nothing before it; too many do not fit; ids must be tokens."""
    with pytest.raises(InvalidFieldError, match="one token"):
        client.score("smollm2", tokens=[5])
    with pytest.raises(InvalidFieldError, match="49152"):
        client.score("smollm2", tokens=[5, 49152])
    with pytest.raises(ContextLengthExceededError):
        client.score("smollm2", tokens=[5] * 9000)
    residency = daemon.residency("smollm2")
    assert (residency.running, residency.waiting) == (0, 0)


@pytest.mark.skipif(not WIKITEXT.exists(), reason="wikitext2.test.txt is not here")
def test_perplexity(daemon, client, smollm2_gguf):
    """Int8 and int4 cost at most 1 % and 2 % of perplexity on wikitext2, in windows of 512."""
    text = WIKITEXT.read_text()
    pieces = [text[at : at + 100_000] for at in range(0, len(text), 100_000)]
    ids = [t.id for t in itertools.chain(*(client.tokenize("smollm2", p) for p in pieces))]
    ids = ids[: TOKENS or len(ids)]
    found = {"float32": perplexity(client, "smollm2", ids)}
    for dtype in BOUNDS:
        name = f"perplexity-{dtype}"
        daemon.install(name, smollm2_gguf)
        daemon.load(name, dtype=dtype)
        found[dtype] = perplexity(client, name, ids)
        client.delete_model(name, force=True)
    print(f"{len(ids)} tokens: {found}")
    for dtype, bound in BOUNDS.items():
        assert found["float32"] * 0.99 < found[dtype] < found["float32"] * bound


def perplexity(client, model, ids):
    total, count = 0.0, 0
    for at in range(0, len(ids) - 1, WINDOW):
        window = ids[at : at + WINDOW]
        if len(window) > 1:
            total += client.score(model, tokens=window).logprob
            count += len(window) - 1
    return math.exp(-total / count)
