"""Texts' vectors, of networks that are not imported, against transformers and torch.nn."""

import pytest
import torch
import transformers

from llmosd.ipc.messages import Scoring, Submit
from tiny_prompts import GREEDY, serve, wide_network
from tiny_training import WORDS, tiny_config

POOLINGS = {"mean": lambda h: h.mean(0), "last": lambda h: h[-1], "first": lambda h: h[0]}
TEXTS = [[(at * at + 3 * length) % WORDS for at in range(length)] for length in (7, 1, 40)]


def llama_without_mask(network, ids):
    """The encoder: transformers' Llama, in which every token sees every other."""
    config = network.config
    model = transformers.LlamaModel(transformers.LlamaConfig(
        vocab_size=WORDS, hidden_size=config.hidden_size, rms_norm_eps=config.norm_eps,
        intermediate_size=config.intermediate_size, num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads, num_key_value_heads=config.num_kv_heads,
        head_dim=config.head_dim, attn_implementation="eager",
    )).eval()  # fmt: skip
    own = {name.removeprefix("model."): value for name, value in network.state_dict().items()}
    assert model.load_state_dict(own, strict=False).missing_keys == []
    everything = torch.zeros(1, 1, len(ids), len(ids))
    return model(torch.tensor([ids]), attention_mask=everything).last_hidden_state[0]


def lstm(network, ids):
    """Layers of torch.nn.LSTM, one after another."""
    weights, size = network.state_dict(), network.config.hidden_size
    x = weights["embed_tokens.weight"][ids]
    for layer in range(network.config.num_layers):
        prefix, cells = f"layers.{layer}.rnn.", torch.nn.LSTM(size, size)
        own = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        cells.load_state_dict(own)
        x = cells(x)[0]
    return x


@pytest.mark.parametrize(("family", "oracle"), [("encoder", llama_without_mask), ("lstm", lstm)])
@torch.inference_mode()
def test_vectors(tmp_path, family, oracle):
    """Every pooling, three texts at once: 1e-4 in float32."""
    network = wide_network(tiny_config(family), 6)
    engine = serve(network, tmp_path / family, blocks=20)
    for number, (pooling, pooled) in enumerate(POOLINGS.items()):
        for at, text in enumerate(TEXTS):
            engine.submit(
                Submit(10 * number + at, text, 1, 0, 0, [], GREEDY, -1, "", task="embed",
                       pooling=pooling)
            )  # fmt: skip
        found = {}
        while engine.has_work:
            found |= {each.id % 10: each.logprobs for each in engine.step().scored}
        for at, text in enumerate(TEXTS):
            expected = pooled(oracle(network, text)).tolist()
            assert found[at] == pytest.approx(expected, abs=1e-4)


def test_pooling_leaves_classification_alone(tmp_path):
    """In one step with a text that is to be classified, by the mean of its rows."""
    network = wide_network(tiny_config("encoder", head="classify", labels=("a", "b")), 6)
    engine = serve(network, tmp_path / "encoder", blocks=20)
    text, answers = TEXTS[0], []
    for others in ([], [Submit(2, text, 1, 0, 0, [], GREEDY, -1, task="embed", pooling="last")]):
        for submit in [*others, Submit(1, text, 1, 0, 0, [], GREEDY, -1, task="classify")]:
            engine.submit(submit)
        scored = engine.step().scored
        assert len(scored) == 1 + len(others)
        answers.append(next(each.logprobs for each in scored if each.id == 1))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("family", ["seq2seq", "seq2seq-lstm"])
def test_an_answer_scores_as_it_was_said(tmp_path, family):
    """Of an encoder-decoder: each token's log-probability, to the bit."""
    config = tiny_config(family, start_id=7, encoder_layers=1)
    engine = serve(wide_network(config, 6), tmp_path / family, blocks=20)
    prompt = [3, 9, 4, 7]
    engine.submit(Submit(1, prompt, 1, 6, 0, [], GREEDY, 0))
    said = []
    while engine.has_work:
        said += [(out.token, out.logprob) for out in engine.step().tokens]
    *before, (end, _) = said
    read = [*prompt, *(token for token, _ in before)]
    scoring = Scoring(len(prompt), end)
    engine.submit(Submit(2, read, 1, 0, 0, [], GREEDY, -1, task="score", scoring=scoring))
    (scored,) = engine.step().scored
    assert scored.logprobs == [logprob for _, logprob in said]
    assert scored.ranks == [1] * 6
