"""ScoreChoices against transformers and lm-evaluation-harness's rules, alone and in company."""

import math

import pytest
import torch

from llmos_client import ContextLengthExceededError, InvalidFieldError

CONTEXT = "The old man walked along the shore. He counted the boats, and in the evening he went "
CHOICES = ["home.", "to the sea", "home again and slept.", "xq zzkw"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, daemon, tiny_folders):
    daemon.install("tiny-choices", tiny_folders["tiny-llama"])
    daemon.load("tiny-choices")
    return "tiny-choices"


@torch.inference_mode()
def expected(model, context, choice):
    """(log-probability, greedy) as lm-evaluation-harness's `hf` backend computes them."""
    logits = model(torch.tensor([[*context, *choice][:-1]])).logits[0, -len(choice) :].float()
    logprobs = logits.log_softmax(-1).gather(1, torch.tensor(choice).unsqueeze(1))
    return logprobs.double().sum().item(), logits.argmax(-1).tolist() == list(choice)


def test_equals_transformers(client, smollm2_reference):
    """Sums, ranks, lengths and greediness; the text is cut as the harness cuts it."""
    found = client.score_choices("smollm2", CONTEXT, CHOICES)
    for text, choice in zip(CHOICES, found.choices, strict=True):
        before = ids(client, CONTEXT.rstrip())
        whole = ids(client, CONTEXT + text)
        own = [token.id for token in choice.tokens]
        assert own == whole[len(before) :]
        assert b"".join(token.bytes for token in choice.tokens).decode() == " " + text
        logprob, greedy = expected(smollm2_reference, before, own)
        assert choice.logprob == pytest.approx(logprob, abs=1e-3)
        assert choice.greedy is greedy
        assert choice.logprob_per_token == pytest.approx(choice.logprob / len(own))
        assert choice.logprob_per_byte == pytest.approx(choice.logprob / len(text))
    order = sorted(range(4), key=lambda at: -found.choices[at].logprob)
    assert [found.choices[at].rank for at in order] == [1, 2, 3, 4]
    assert found.best == order[0] != 3


def ids(client, text):
    return [token.id for token in client.tokenize("smollm2", text)]


def test_greedy_is_what_greedy_decoding_writes(client):
    """And one token changed is the control."""
    context = ids(client, CONTEXT)
    answer = client.generate("smollm2", tokens=context, temperature=0.0, max_tokens=6)
    said = ids(client, answer.text)
    told = client.score_choices("smollm2", context, [said, [*said[:-1], said[0]]]).choices
    assert [choice.greedy for choice in told] == [True, False]
    assert {token.rank for token in told[0].tokens} == {1}
    assert told[1].tokens[-1].rank > 1


def test_nothing_before_is_the_prefix_token(client, smollm2_reference):
    """No context, by text and by tokens, is the beginning-of-sequence token alone."""
    own = ids(client, "Once upon a time")
    text = client.score_choices("smollm2", "", ["Once upon a time"]).choices[0]
    tokens = client.score_choices("smollm2", [], [own]).choices[0]
    whole = client.score("smollm2", "Once upon a time", prefix=True)
    assert text.logprob == tokens.logprob == whole.logprob
    prefix = smollm2_reference.config.bos_token_id
    assert whole.tokens[0].id == prefix
    assert text.logprob == pytest.approx(expected(smollm2_reference, [prefix], own)[0], abs=1e-3)
    assert client.score("smollm2", tokens=own[:1], prefix=True).tokens[1].logprob is not None


def test_the_same_alone_and_in_company(daemon, tiny):
    """To the bit: one by one, together, and from a cache that has the context; computed once."""
    context = [(7 * at + at * at) % 250 for at in range(150)]
    choices = [[at, 3 * at, 5] for at in range(1, 9)]
    with daemon.client() as client:
        alone = [
            client.score_choices(tiny, context[::-1], [choice]).choices[0] for choice in choices
        ]
        with daemon.client() as other:
            before = other.get_version(tiny).residency.counters
            company = client.score_choices(tiny, context, choices).choices
            after = other.get_version(tiny).residency.counters
        assert after.cached_prompt_tokens - before.cached_prompt_tokens == 7 * 144
        again = client.score_choices(tiny, context, choices).choices
        fresh = [client.score(tiny, tokens=[*context, *choice]).tokens[-3:] for choice in choices]
    assert [choice.tokens for choice in company] == [choice.tokens for choice in again] == fresh
    assert [choice.tokens for choice in alone] != fresh


def test_the_likeliest_tokens(client, smollm2_reference):
    """ScoreText tells ranks and alternatives where they are asked for."""
    score = client.score("smollm2", "Once upon a time there was", top=3)
    own = [token.id for token in score.tokens]
    with torch.inference_mode():
        logprobs = smollm2_reference(torch.tensor([own])).logits[0].float().log_softmax(-1)
    for at, token in enumerate(score.tokens[1:]):
        best = logprobs[at].topk(3)
        assert [other.id for other in token.top] == best.indices.tolist()
        assert [o.logprob for o in token.top] == pytest.approx(best.values.tolist(), abs=2e-3)
        assert token.rank == 1 + (logprobs[at] > logprobs[at, token.id]).sum()
    assert client.score("smollm2", "Once upon a time").tokens[1].top == ()


def test_a_text_one_longer_than_the_context(daemon, tiny):
    """Nothing is read after the last token, so it needs no place; the next one is refused."""
    with daemon.client() as client:
        limit = client.get_version(tiny).context_length
        full = [at % 250 for at in range(limit + 1)]
        assert math.isfinite(client.score(tiny, tokens=full).logprob)
        assert math.isfinite(client.score_choices(tiny, full[:-3], [full[-3:]]).choices[0].logprob)
        with pytest.raises(ContextLengthExceededError, match="leave out the beginning"):
            client.score(tiny, tokens=[*full, 1])
        with pytest.raises(ContextLengthExceededError, match=r"choices\[1\]"):
            client.score_choices(tiny, full[:-3], [[1], [1, 2, 3, 4]])


def test_refusals(client):
    """The field is named, and what to do."""
    with pytest.raises(InvalidFieldError, match=r"choices\[1\].tokens.ids\[0\].*49152"):
        client.score_choices("smollm2", "One", [" two", [49152]])
    with pytest.raises(InvalidFieldError, match=r"context.tokens.ids\[1\]"):
        client.score_choices("smollm2", [1, 99999], ["b"])
    with pytest.raises(InvalidFieldError, match="choices"):
        client.score_choices("smollm2", "a", [])
    with pytest.raises(InvalidFieldError, match=r"choices\[0\].*context's last token"):
        client.score_choices("smollm2", "Once upon a tim", ["e"])
    assert client.score_choices("smollm2", "Once upon a", [" time"]).choices
