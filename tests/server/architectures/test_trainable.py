"""Networks that are trained: names, scores and gradients equal to the oracles'."""

import math

import msgspec
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch.nn import functional

from factory import TINY, tiny_mistral, tiny_version
from llmosd.architectures.architecture import ForwardBatch, LayerCache
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import expected_shapes, family_of
from llmosd.architectures.torch_ops import TorchOps
from llmosd.architectures.trainable.attention import attend
from llmosd.architectures.trainable.layout import layout_of
from llmosd.architectures.trainable.parts import RMSNorm, rotate, silu_multiply
from llmosd.architectures.trainable.registry import from_scratch, from_weights
from llmosd.errors import DataCorrupt, InvalidField
from llmosd.objectives.cross_entropy import cross_entropy
from tiny_training import WORDS, gradients, tiny_config

LENGTHS = (7, 40, 3, 90, 40, 1)
"""Short ones, long ones, two alike: several groups of attention, not in order."""


@pytest.fixture(scope="module", params=TINY)
def imported(request, tmp_path_factory):
    """A version folder's config and weights, and transformers' model of the same files."""
    root = tmp_path_factory.mktemp(request.param)
    return _imported(TINY[request.param], root)


def _imported(make, root, **changes):
    source, output = root / "source", root / "output"
    output.mkdir()
    make(source, **changes)
    tiny_version(source, output)
    config = msgspec.json.decode((output / "config.json").read_bytes(), type=ModelConfig)
    weights = load_file(output / "model.safetensors")
    oracle = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    return config, weights, oracle


def ids_of(lengths=LENGTHS, words=WORDS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(words, (sum(lengths),), generator=generator)


def scores(network, ids, lengths):
    return network(ids, lengths) @ network.head.T


def test_equal_to_transformers(imported):
    """Scores of packed examples, and every gradient, are those of each example by itself."""
    config, weights, oracle = imported
    network = from_weights(config, weights)
    ids = ids_of(words=config.vocab_size)
    ours = scores(network, ids, LENGTHS)
    theirs = torch.cat([oracle(part[None]).logits[0] for part in ids.split(LENGTHS)])
    torch.testing.assert_close(ours, theirs, atol=3e-5, rtol=1e-4)
    functional.cross_entropy(ours, ids).backward()
    functional.cross_entropy(theirs, ids).backward()
    found = dict(oracle.named_parameters())
    for name, gradient in gradients(network).items():
        wanted = found[name].grad
        if config.architecture == "gpt2" and name.split(".")[-2] in {"c_attn", "c_proj", "c_fc"}:
            wanted = wanted.T if wanted.dim() == 2 else wanted
        torch.testing.assert_close(gradient, wanted, atol=1e-6, rtol=1e-3)


def test_equal_to_the_served_network(imported):
    """The engine's network, with the same weights, says the same."""
    config, weights, _ = imported
    network = from_weights(config, weights)
    ops = TorchOps(torch.device("cpu"), torch.float32)
    served = family_of(config.architecture).load_network()(config, weights.__getitem__, ops)
    ids = ids_of((40,), config.vocab_size)
    hidden = served.forward(*_paged(ids, config))
    with torch.no_grad():
        torch.testing.assert_close(
            served.logits(hidden), scores(network, ids, (40,)), atol=2e-5, rtol=1e-4
        )


def _paged(ids, config, block=16):
    """One sequence's batch and an empty cache."""
    count, blocks = len(ids), -(-len(ids) // block)
    at = torch.arange(count)
    empty = torch.tensor([[0, count, 0]], dtype=torch.int32)
    batch = ForwardBatch(
        ids, at.int(), empty, at, torch.arange(blocks)[None].int(), [(0, count)],
        torch.zeros(count, dtype=torch.int32),
    )  # fmt: skip
    layers = [
        LayerCache(
            torch.zeros(blocks, config.num_kv_heads, config.head_dim, block),
            torch.zeros(blocks, config.num_kv_heads, block, config.head_dim),
        )
        for _ in range(config.num_layers)
    ]
    return batch, type("Cache", (), {"layers": layers})()


def test_sliding_window(tmp_path):
    """A window shorter than the examples, as Mistral has it."""
    config, weights, oracle = _imported(tiny_mistral, tmp_path, sliding_window=8)
    assert config.sliding_window == 8
    ids = ids_of((40, 5), config.vocab_size)
    ours = scores(from_weights(config, weights), ids, (40, 5))
    theirs = torch.cat([oracle(part[None]).logits[0] for part in ids.split((40, 5))])
    torch.testing.assert_close(ours, theirs, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize(("architecture", "changes"), [
    ("llama", {}),
    ("llama", {"tie_embeddings": False, "qkv_bias": True, "output_bias": True, "mlp_bias": True}),
    ("llama", {"qk_norm": True, "head": "classify", "labels": ("a", "b", "c")}),
    ("gpt2", {"qkv_bias": True, "output_bias": True, "mlp_bias": True}),
    ("gpt2", {"norm_bias": False}),
    ("encoder", {}),
    ("encoder", {"head": "regress"}),
])  # fmt: skip
def test_names_and_shapes(architecture, changes):
    """The store's, in its order."""
    config = tiny_config(architecture, **changes)
    state = from_scratch(config, 0).state_dict()
    assert {name: tuple(each.shape) for name, each in state.items()} == expected_shapes(config)


@pytest.mark.parametrize("changes", [{}, {"qkv_bias": True, "output_bias": True, "mlp_bias": True}])
@pytest.mark.parametrize("norm_bias", [True, False])
def test_gpt2_without_biases_is_served(changes, norm_bias):
    """What nanoGPT calls `bias=False` can be trained and served."""
    config = tiny_config("gpt2", norm_bias=norm_bias, **changes)
    network = from_scratch(config, 0)
    weights = dict(network.state_dict())
    served = family_of("gpt2").load_network()(
        config, weights.__getitem__, TorchOps(torch.device("cpu"), torch.float32)
    )
    ids = ids_of((20,))
    with torch.no_grad():
        logits = served.logits(served.forward(*_paged(ids, config)))
        torch.testing.assert_close(logits, scores(network, ids, (20,)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_examples_see_nothing_of_each_other(causal):
    """An example's scores change by itself alone; before a change, only an encoder's do."""
    network = from_scratch(tiny_config("llama" if causal else "encoder"), 0)
    ids = ids_of()
    changed = ids.clone()
    at = 7 + 20  # within the second example
    changed[at] = (changed[at] + 1) % WORDS
    with torch.no_grad():
        moved = (scores(network, ids, LENGTHS) - scores(network, changed, LENGTHS)).abs().amax(1)
    assert moved[at : 7 + 40].min() > 0
    assert moved[:7].max() == moved[47:].max() == 0
    assert (moved[7:at].max() == 0) == causal


def test_packed_equals_alone():
    """Bits may differ with the number of rows, values do not."""
    for architecture in ("llama", "gpt2", "encoder"):
        network = from_scratch(tiny_config(architecture, context_length=128), 0)
        ids = ids_of()
        with torch.no_grad():
            packed = scores(network, ids, LENGTHS)
            alone = [scores(network, part, (len(part),)) for part in ids.split(LENGTHS)]
        torch.testing.assert_close(packed, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("words", [65, 10_000, 49_152])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("hidden", [32, 576])
def test_first_loss_is_that_of_guessing(words, architecture, hidden):
    """ln V, within 0.1."""
    config = tiny_config(architecture, vocab_size=words, hidden_size=hidden, head_dim=hidden // 4)
    network = from_scratch(config, 0)
    ids, targets = ids_of((100,) * 4, words), ids_of((400,), words, 1)
    with torch.no_grad():
        loss = cross_entropy(network(ids, (100,) * 4), network.head, targets).loss / 400
    assert float(loss) == pytest.approx(math.log(words), abs=0.1)


def test_same_seed_same_weights():
    """And another seed, others."""
    one, two, other = (from_scratch(tiny_config(), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    name = "model.layers.1.mlp.down_proj.weight"
    assert not torch.equal(one[name], other[name])
    # What is added to the residual starts smaller.
    assert other[name].std() < 0.7 * other["model.layers.1.mlp.up_proj.weight"].std()


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "encoder"])
def test_dropout_is_for_training(architecture):
    """Off in evaluation; drawn anew in training, from torch's own generator."""
    network = from_scratch(tiny_config(architecture, context_length=128), 0, dropout=0.3)
    ids = ids_of()
    assert torch.equal(network.eval()(ids, LENGTHS), network(ids, LENGTHS))
    network.train()
    torch.manual_seed(1)
    first = network(ids, LENGTHS)
    assert not torch.equal(first, network(ids, LENGTHS))
    torch.manual_seed(1)
    assert torch.equal(first, network(ids, LENGTHS))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_gradient_checkpointing_changes_nothing(architecture):
    """The same gradients to the bit, dropout included; and blocks really run twice."""
    found, runs = [], []
    for checkpointing in (False, True):
        network = from_scratch(
            tiny_config(architecture, context_length=128), 0, dropout=0.2
        ).train()
        network.checkpointing = checkpointing
        network.blocks()[0].register_forward_pre_hook(lambda *_: runs.append(1))
        torch.manual_seed(3)
        network(ids_of(), LENGTHS).square().sum().backward()
        found.append(gradients(network))
        runs.append(0)
    assert runs == [1, 0, 1, 1, 0]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_scores_of_examples():
    """An encoder's are of the mean of its tokens, a decoder's of its last token."""
    hidden = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    for architecture, pooled in [
        ("encoder", torch.stack([hidden[:2].mean(0), hidden[2:].mean(0)])),
        ("llama", hidden[[1, 5]]),
    ]:
        config = tiny_config(architecture, head="classify", labels=("a", "b", "c"))
        network = from_scratch(config, 0)
        found = network.scores(hidden, (2, 4))
        torch.testing.assert_close(found, pooled @ network.score.weight.T)


def test_wrong_weights_are_refused():
    """By name."""
    config = tiny_config()
    weights = dict(from_scratch(config, 0).state_dict())
    with pytest.raises(DataCorrupt, match=r"q_proj.weight.*shape"):
        from_weights(config, weights | {"model.layers.0.self_attn.q_proj.weight": torch.ones(2, 2)})
    del weights["model.norm.weight"]
    with pytest.raises(DataCorrupt, match=r"model.norm.weight.*missing"):
        from_weights(config, weights)
    with pytest.raises(InvalidField, match="'mamba' is not one of llama"):
        from_scratch(tiny_config("mamba"), 0)


def test_written_out_gradients():
    """Against numerical ones, in float64 where the function keeps it."""
    torch.manual_seed(0)
    x = torch.randn(3, 2, 8, dtype=torch.float64, requires_grad=True)
    angles = torch.randn(3, 1, 4, dtype=torch.float64)
    up = torch.randn(3, 2, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(silu_multiply, (x, up))
    assert torch.autograd.gradcheck(rotate, (x, angles.cos(), angles.sin()))


@pytest.mark.parametrize(("length", "exact"), [(64, True), (300, False)])
def test_short_attention_is_wide(length, exact):
    """In mixed precision: what float32 makes of the same narrow numbers, and its gradient."""
    torch.manual_seed(0)
    layout = layout_of((length, length), torch.device("cpu"))
    narrow = [torch.randn(2 * length, 2, 16).bfloat16().requires_grad_() for _ in range(3)]
    wide = [each.detach().float().requires_grad_() for each in narrow]
    with torch.autocast("cpu", torch.bfloat16):
        out = attend(*narrow, layout, causal=True)
    expected = attend(*wide, layout, causal=True)
    assert out.dtype == torch.bfloat16
    grad = torch.randn_like(out)
    found = [out, *torch.autograd.grad(out, narrow, grad)]
    known = [expected, *torch.autograd.grad(expected, wide, grad.float())]
    same = [torch.equal(a, b.bfloat16()) for a, b in zip(found, known, strict=True)]
    assert all(same) == exact


def test_rms_norm_equals_torch():
    """Values and both gradients."""
    torch.manual_seed(0)
    x = torch.randn(5, 3, 16, requires_grad=True)
    norm = RMSNorm(16, 1e-5)
    norm.weight.data = torch.randn(16)
    share = torch.randn(5, 3, 16)
    (norm(x) * share).sum().backward()
    found = x.grad.clone(), norm.weight.grad.clone()
    x.grad = norm.weight.grad = None
    wanted = functional.rms_norm(x, (16,), norm.weight, 1e-5)
    torch.testing.assert_close(norm(x), wanted)
    (wanted * share).sum().backward()
    torch.testing.assert_close(found[0], x.grad)
    torch.testing.assert_close(found[1], norm.weight.grad)


@pytest.mark.parametrize("lengths", [(5, 5, 5), (1,), (4, 9, 2), (80, 3, 33, 80, 10, 64)])
@pytest.mark.parametrize("causal", [True, False])
def test_attention_of_any_lengths(lengths, causal):
    """Against one mask over all tokens."""
    torch.manual_seed(0)
    total = sum(lengths)
    query, key, value = (torch.randn(total, heads, 8) for heads in (4, 2, 2))
    layout = layout_of(lengths, torch.device("cpu"))
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    mask = owner[:, None] == owner
    if causal:
        mask &= torch.arange(total)[:, None] >= torch.arange(total)
    wanted = functional.scaled_dot_product_attention(
        *(part.transpose(0, 1) for part in (query, key, value)), attn_mask=mask, enable_gqa=True
    )
    found = attend(query, key, value, layout, causal=causal)
    torch.testing.assert_close(found, wanted.transpose(0, 1).reshape(total, -1))
    assert layout.positions.tolist() == [at for length in lengths for at in range(length)]
