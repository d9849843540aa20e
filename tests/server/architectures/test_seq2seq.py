"""Encoder-decoders: trained as the formulas say, and served as they were trained."""

import math

import numpy as np
import pytest
import torch

from llmosd.architectures.families.table import expected_shapes
from llmosd.architectures.trainable.registry import from_scratch
from llmosd.architectures.trainable.sides import sides_of
from llmosd.objectives.cross_entropy import cross_entropy
from tiny_prompts import (
    PROMPTS,
    START,
    batch,
    examples,
    finish,
    serve,
    submits,
    wide_network,
    words,
)
from tiny_training import tiny_config

FAMILIES = {
    "seq2seq": {"encoder_layers": 3},
    "seq2seq-lstm": {"encoder_layers": 1, "num_kv_heads": 4},
    # More layers before than behind, biases, as many keys as queries.
    "seq2seq biased": {"encoder_layers": 1, "qkv_bias": True, "output_bias": True, "mlp_bias": True,
                       "num_kv_heads": 4, "tie_embeddings": False},
    "seq2seq-lstm deep": {"encoder_layers": 3, "num_layers": 2, "num_kv_heads": 4},
}  # fmt: skip


@pytest.fixture(params=FAMILIES)
def network(request):
    """With weights wide enough that what is attended to matters."""
    config = tiny_config(request.param.split()[0], start_id=START, **FAMILIES[request.param])
    return wide_network(config, 3 if "lstm" in config.architecture else 8)


def test_shapes(network):
    """The store's names and shapes are the network's."""
    found = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    assert found == expected_shapes(network.config)


def test_sides():
    """Each prompt to its first start token, each answer from it on; without one, the last token."""
    ids = torch.tensor([1, START, 2, START, 3, 4, 5, START])
    prompts, answers = sides_of(ids, (4, 3, 1), START)
    assert prompts.rows.tolist() == [0, 1, 4, 5, 6, 7]
    assert prompts.lengths == (2, 3, 1)
    assert answers.rows.tolist() == [1, 2, 3, 6, 7]
    assert answers.lengths == (3, 1, 1)


def test_as_the_formulas_say(network):
    """NumPy, in float64, one example after the other."""
    ids, lengths = batch()
    with torch.no_grad():
        found = network(ids, lengths)
    wanted = torch.cat([by_formula(network, *pair) for pair in examples()])
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=1e-4)


def test_gradients(network):
    """All together, they are the sum of the examples'."""
    ids, lengths = batch()
    (network(ids, lengths) @ network.head.T).square().sum().backward()
    packed = {name: each.grad.clone() for name, each in network.named_parameters()}
    network.zero_grad()
    for part in ids.split(lengths):
        (network(part, (len(part),)) @ network.head.T).square().sum().backward()
    for name, each in network.named_parameters():
        # Attention does not change with a constant in all keys: that gradient is rounding alone.
        scale = max(float(each.grad.abs().max()), 10.0 * name.endswith("k_proj.bias"))
        torch.testing.assert_close(packed[name], each.grad, atol=2e-4 * scale, rtol=1e-3)
        assert scale > 0


def test_first_loss():
    """Before it has learned, all words are about as likely: ln V."""
    for name in ("seq2seq", "seq2seq-lstm"):
        config = tiny_config(
            name, start_id=START, vocab_size=5000, hidden_size=128, num_kv_heads=4, head_dim=32,
            encoder_layers=2,
        )  # fmt: skip
        network = from_scratch(config, 0)
        ids, lengths = batch()
        _, answers = sides_of(ids, lengths, START)
        hidden = network(ids, lengths)[answers.rows]
        loss = cross_entropy(hidden, network.head, words(len(hidden), 5)).loss / len(answers.rows)
        assert float(loss.detach()) == pytest.approx(math.log(5000), abs=0.1)


def test_served_as_trained(network, tmp_path):
    """Greedy answers, side by side, are those of reading everything again for each token."""
    found = finish(serve(network, tmp_path / "version", blocks=200), submits())
    for at, (prompt, _) in enumerate(examples()):
        ids = prompt.tolist()
        for token, logprob in found[at, 0]:
            with torch.no_grad():
                hidden = network(torch.tensor(ids), (len(ids),))[-1:]
                wanted = torch.log_softmax((hidden @ network.head.T)[0], 0)
            assert token == int(wanted.argmax())
            assert logprob == pytest.approx(float(wanted[token]), abs=1e-4)
            ids.append(token)


def test_the_prompt_matters(network, tmp_path):
    """The control of the above: answers differ from prompt to prompt."""
    found = finish(serve(network, tmp_path / "version", blocks=200), submits())
    assert len({tuple(answer) for answer in found.values()}) == len(PROMPTS)


def test_company_changes_nothing(network, tmp_path):
    """Alone, together, in answers of several, and computed again for want of room: the same bits."""
    engine = serve(network, tmp_path / "version", blocks=200)
    alone = {}
    for submit in submits(answers=3, temperature=1.0):
        alone |= finish(engine, [submit])
    assert finish(engine, submits(answers=3, temperature=1.0)) == alone
    assert engine.stats.preemptions == 0
    small = serve(network, tmp_path / "version", blocks=7)
    assert finish(small, submits(answers=3, temperature=1.0)) == alone
    assert small.stats.preemptions > 0


def by_formula(network, prompt, answer):
    weights = {name: each.detach().double().numpy() for name, each in network.state_dict().items()}
    source, target = prompt.numpy(), np.concatenate([[START], answer.numpy()])
    compute = lstm_by_formula if "lstm" in network.config.architecture else blocks_by_formula
    out = compute(network.config, weights, source, target)
    zeros = np.zeros((len(source) - 1, out.shape[1]))
    return torch.from_numpy(np.concatenate([zeros, out])).float()


def softmax(x):
    wide = np.exp(x - x.max(-1, keepdims=True))
    return wide / wide.sum(-1, keepdims=True)


def attention(query, key, value, heads, kv_heads, *, causal):
    """(rows, heads * size) of (rows, heads * size) and (positions, kv_heads * size)."""
    size, out = query.shape[1] // heads, []
    for head in range(heads):
        own = slice(head * size, head * size + size)
        group = head * kv_heads // heads
        theirs = slice(group * size, group * size + size)
        scores = query[:, own] @ key[:, theirs].T / math.sqrt(size)
        if causal:
            scores[np.triu_indices(len(query), 1)] = -np.inf
        out.append(softmax(scores) @ value[:, theirs])
    return np.concatenate(out, 1)


def blocks_by_formula(config, weights, source, target):
    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config.norm_eps) * weights[name]

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)

    def turned(x):
        half = config.head_dim // 2
        angles = np.arange(len(x))[:, None] / 10000 ** (np.arange(half) / half)
        out = x.copy().reshape(len(x), -1, config.head_dim)
        low, high = out[..., :half].copy(), out[..., half:].copy()
        c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
        out[..., :half], out[..., half:] = low * c - high * s, high * c + low * s
        return out.reshape(x.shape)

    def mixed(name, x, y, *, rotated, causal):
        q, k, v = (linear(z, f"{name}.{p}_proj") for p, z in (("q", x), ("k", y), ("v", y)))
        if rotated:
            q, k = turned(q), turned(k)
        mix = attention(q, k, v, config.num_heads, config.num_kv_heads, causal=causal)
        return linear(mix, f"{name}.o_proj")

    def layer(prefix, x, encoded=None):
        y = norm(x, f"{prefix}.input_layernorm.weight")
        x = x + mixed(f"{prefix}.self_attn", y, y, rotated=True, causal=encoded is not None)
        if encoded is not None:
            y = norm(x, f"{prefix}.cross_attention_layernorm.weight")
            x = x + mixed(f"{prefix}.cross_attn", y, encoded, rotated=False, causal=False)
        y = norm(x, f"{prefix}.post_attention_layernorm.weight")
        gate = linear(y, f"{prefix}.mlp.gate_proj")
        inner = gate / (1 + np.exp(-gate)) * linear(y, f"{prefix}.mlp.up_proj")
        return x + linear(inner, f"{prefix}.mlp.down_proj")

    x = weights["embed_tokens.weight"][source]
    for index in range(config.encoder_layers):
        x = layer(f"encoder.layers.{index}", x)
    encoded = norm(x, "encoder.norm.weight")
    x = weights["embed_tokens.weight"][target]
    for index in range(config.num_layers):
        x = layer(f"decoder.layers.{index}", x, encoded)
    return norm(x, "decoder.norm.weight")


def lstm_by_formula(config, weights, source, target):
    from llmos_kernels.reference import lstm_cell

    def run(prefix, rows, hidden, cell):
        out = []
        for row in rows:
            inputs, states = (
                weights[f"{prefix}.weight_{part}_l0"] @ x + weights[f"{prefix}.bias_{part}_l0"]
                for part, x in (("ih", row), ("hh", hidden))
            )
            hidden, cell = lstm_cell(inputs, states, cell)
            out.append(hidden)
        return np.array(out), hidden, cell

    half = np.zeros(config.hidden_size // 2)
    x, states = weights["embed_tokens.weight"][source], []
    for index in range(config.encoder_layers):
        left, *ahead = run(f"encoder.layers.{index}.ahead", x, half, half)
        right, *back = run(f"encoder.layers.{index}.back", x[::-1], half, half)
        x = np.concatenate([left, right[::-1]], 1)
        states.append([np.concatenate(pair) for pair in zip(ahead, back, strict=True)])
    y = weights["embed_tokens.weight"][target]
    for index in range(config.num_layers):
        begin = states[min(index, len(states) - 1)]
        y, _, _ = run(f"decoder.layers.{index}.rnn", y, *begin)
    q, k, v = (
        rows @ weights[f"decoder.attention.{part}_proj.weight"].T
        for part, rows in (("q", y), ("k", x), ("v", x))
    )
    heads = config.num_heads
    context = attention(q, k, v, heads, heads, causal=False)
    return np.tanh(
        context @ weights["decoder.context_proj.weight"].T
        + y @ weights["decoder.state_proj.weight"].T
    )
