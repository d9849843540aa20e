"""Adapters, against the peft library: values, files, and a training run step by step."""

import json

import msgspec
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from factory import tiny_gpt2, tiny_llama_folder
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.peft_files import peft_config
from llmosd.architectures.trainable.lora import (
    adapters,
    adapters_off,
    add_adapters,
    changes,
    from_peft,
    merge,
    narrow_base,
    to_peft,
    unmerge,
)
from llmosd.architectures.trainable.registry import from_scratch, from_weights
from llmosd.engine.adapters import with_adapter
from llmosd.errors import DataCorrupt, InvalidField
from llmosd.jobs.importing.hf_config import hf_config
from tiny_training import tiny_config

# peft 0.21 asks transformers 5.24 by an older name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated.*:FutureWarning")

LENGTHS = (9, 30)
TARGETS = ("q_proj", "v_proj")


def ids_of(words, seed=0):
    return torch.randint(words, (sum(LENGTHS),), generator=torch.Generator().manual_seed(seed))


def scores(network, ids):
    return network(ids, LENGTHS) @ network.head.T


def filled(network, seed=1):
    """Adapters that do something."""
    generator = torch.Generator().manual_seed(seed)
    for _, module in adapters(network):
        module.lora_B.weight.data.normal_(0, 0.3, generator=generator)
    return network


def adapted(config=None, seed=0):
    network = from_scratch(config or tiny_config(), seed)
    torch.manual_seed(seed)
    add_adapters(network, TARGETS, rank=4, alpha=8.0)
    return network


@pytest.fixture(params=["llama", "gpt2"])
def saved(request, tmp_path):
    """transformers' model of a folder, our network of the same weights, and targets for it."""
    make, targets = {
        "llama": (tiny_llama_folder, ["q_proj", "v_proj", "down_proj"]),
        "gpt2": (tiny_gpt2, ["c_attn", "c_fc"]),
    }[request.param]
    folder = make(tmp_path / "model")
    oracle = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    config = hf_config(json.loads((folder / "config.json").read_text()))
    return oracle, from_weights(config, _weights(oracle, config)), targets


def _weights(oracle, config: ModelConfig):
    """By the store's names: Conv1D's matrices are transposed."""
    out = {}
    for name, each in oracle.state_dict().items():
        conv = config.architecture == "gpt2" and name.endswith(
            ("attn.weight", "proj.weight", "fc.weight")
        )
        out[name] = each.T if conv else each
    return out


def test_starts_as_nothing():
    """To the bit, though A is not zero."""
    plain = from_scratch(tiny_config(), 0)
    network = adapted()
    ids = ids_of(50)
    assert torch.equal(scores(plain, ids), scores(network, ids))
    assert all(module.lora_A.weight.abs().max() > 0 for _, module in adapters(network))


def test_only_adapters_are_trained():
    """And a head that is new."""
    network = adapted(tiny_config(head="classify", labels=("a", "b")))
    trained = {name for name, each in network.named_parameters() if each.requires_grad}
    assert trained == {
        f"model.layers.{layer}.self_attn.{target}.lora_{side}.weight"
        for layer in range(2)
        for target in TARGETS
        for side in "AB"
    } | {"score.weight"}


def test_smollm2_has_460800_trained_weights():
    """Rank 8 on queries and values of SmolLM2-135M's shape, as peft counts them."""
    config = tiny_config(
        vocab_size=100, hidden_size=576, intermediate_size=64, num_layers=30, num_heads=9,
        num_kv_heads=3, head_dim=64,
    )  # fmt: skip
    network = from_scratch(config, 0)
    add_adapters(network, TARGETS, rank=8, alpha=16.0)
    assert sum(each.numel() for each in network.parameters() if each.requires_grad) == 460_800


def test_off_merge_unmerge():
    """Off: the base to the bit. Merged: within 1e-4 of the adapted, and back."""
    network = filled(adapted())
    ids = ids_of(50)
    with torch.no_grad():
        with_adapter = scores(network, ids)
        base = scores(from_scratch(tiny_config(), 0), ids)
        with adapters_off():
            assert torch.equal(scores(network, ids), base)
        assert torch.equal(scores(network, ids), with_adapter)
        assert (with_adapter - base).abs().max() > 1e-3
        change = changes(network)
        merge(network)
        assert not list(adapters(network))
        torch.testing.assert_close(scores(network, ids), with_adapter, atol=1e-4, rtol=0)
        unmerge(network, change)
        torch.testing.assert_close(scores(network, ids), base, atol=1e-4, rtol=0)
    assert set(network.state_dict()) == set(from_scratch(tiny_config(), 0).state_dict())


def test_peft_reads_our_files(saved, tmp_path):
    """The same scores from our two files in peft."""
    oracle, network, targets = saved
    torch.manual_seed(0)
    add_adapters(network, tuple(targets), rank=4, alpha=8.0)
    filled(network)
    folder = tmp_path / "adapter"
    folder.mkdir()
    save_file(
        {n: w.contiguous() for n, w in to_peft(network).items()},
        folder / "adapter_model.safetensors",
    )
    values = peft_config(network.config, tuple(targets), rank=4, alpha=8.0, dropout=0.0)
    (folder / "adapter_config.json").write_text(json.dumps(values))
    model = peft.PeftModel.from_pretrained(oracle, folder)
    ids = ids_of(network.config.vocab_size)
    with torch.no_grad():
        wanted = torch.cat([model(part[None]).logits[0] for part in ids.split(LENGTHS)])
        torch.testing.assert_close(scores(network, ids), wanted, atol=1e-4, rtol=1e-4)
        with model.disable_adapter():
            base = torch.cat([model(part[None]).logits[0] for part in ids.split(LENGTHS)])
        assert (wanted - base).abs().max() > 0.1


def test_a_head_in_pefts_files(tmp_path):
    """Scores of labels from our two files: in transformers' classifier under peft, and served."""
    source = tiny_llama_folder(tmp_path / "model")
    base = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    config = hf_config(json.loads((source / "config.json").read_text()))
    weights = {k: v for k, v in _weights(base, config).items() if k != "lm_head.weight"}
    config = msgspec.structs.replace(config, head="classify", labels=("a", "b", "c"))
    network = from_weights(config, weights)
    torch.manual_seed(0)
    add_adapters(network, TARGETS, rank=4, alpha=8.0)
    network.score.weight.data.normal_(0, 1)
    filled(network)
    folder = tmp_path / "adapter"
    folder.mkdir()
    tensors = {n: w.contiguous() for n, w in to_peft(network).items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    values = peft_config(network.config, TARGETS, rank=4, alpha=8.0, dropout=0.0)
    (folder / "adapter_config.json").write_text(json.dumps(values))
    oracle = transformers.AutoModelForSequenceClassification.from_pretrained(
        source, num_labels=3, dtype=torch.float32
    )
    model = peft.PeftModel.from_pretrained(oracle.eval(), folder)
    ids = ids_of(config.vocab_size)
    with torch.no_grad():
        ours = network.scores(network(ids, LENGTHS), LENGTHS)
        theirs = torch.cat([model(part[None]).logits for part in ids.split(LENGTHS)])
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    read = with_adapter(folder, weights.__getitem__)
    assert torch.equal(read("score.weight"), network.score.weight)
    merge(network)
    name = "model.layers.0.self_attn.q_proj.weight"
    torch.testing.assert_close(read(name), network.state_dict()[name], atol=1e-6, rtol=1e-5)
    del tensors["base_model.model.score.weight"]
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(DataCorrupt, match="no head for its labels"):
        with_adapter(folder, weights.__getitem__)("score.weight")


def test_we_read_pefts_files(saved, tmp_path):
    """And the other way round."""
    oracle, network, targets = saved
    model = peft.get_peft_model(oracle, _peft(targets))
    for name, each in model.named_parameters():
        if "lora_B" in name:
            each.data.normal_(0, 0.3)
    model.save_pretrained(tmp_path / "adapter")
    add_adapters(network, tuple(targets), rank=4, alpha=8.0)
    from_peft(network, load_file(tmp_path / "adapter" / "adapter_model.safetensors"))
    ids = ids_of(network.config.vocab_size)
    with torch.no_grad():
        wanted = torch.cat([model(part[None]).logits[0] for part in ids.split(LENGTHS)])
        torch.testing.assert_close(scores(network, ids), wanted, atol=1e-4, rtol=1e-4)


def _peft(targets, rank=4):
    return peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM",
        fan_in_fan_out="c_attn" in targets,
    )  # fmt: skip


def test_fifty_steps_like_pefts(tmp_path):
    """Rank 8 on queries and values, float32: every loss within 1e-3 of peft in a plain loop."""
    folder = tiny_llama_folder(tmp_path / "model")
    oracle = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = hf_config(json.loads((folder / "config.json").read_text()))
    network = from_weights(config, _weights(oracle, config))
    add_adapters(network, TARGETS, rank=8, alpha=16.0)
    model = peft.get_peft_model(oracle, _peft(list(TARGETS), rank=8)).train()
    initial = {
        n.replace(".default", ""): w.detach() for n, w in model.named_parameters() if "lora_" in n
    }
    from_peft(network, initial)
    optimizers = [
        torch.optim.AdamW([each for each in m.parameters() if each.requires_grad], lr=1e-2)
        for m in (model, network)
    ]
    losses = []
    for step in range(50):
        ids = ids_of(config.vocab_size, step % 5).view(1, -1)
        theirs = model(ids, labels=ids).loss
        hidden = network(ids[0], (ids.shape[1],))[:-1]
        ours = torch.nn.functional.cross_entropy(hidden @ network.head.T, ids[0, 1:])
        for loss, optimizer in zip((theirs, ours), optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append((float(theirs.detach()), float(ours.detach())))
    assert max(abs(one - two) for one, two in losses) <= 1e-3
    assert losses[-1][0] < losses[0][0] - 0.3


def test_a_narrow_base():
    """In bfloat16 the base takes half the memory, and says nearly the same; adapters stay wide."""
    wide, network = filled(adapted()), filled(adapted())
    narrow_base(network, torch.bfloat16)
    kinds = {name: each.dtype for name, each in network.named_parameters()}
    assert kinds["model.layers.0.mlp.up_proj.weight"] == torch.bfloat16
    assert kinds["model.embed_tokens.weight"] == torch.bfloat16
    assert kinds["model.layers.0.input_layernorm.weight"] == torch.float32
    assert kinds["model.layers.0.self_attn.q_proj.lora_A.weight"] == torch.float32
    ids = ids_of(50)
    hidden = network(ids, LENGTHS)
    assert hidden.dtype == torch.float32
    torch.testing.assert_close(hidden, wide(ids, LENGTHS), atol=0.05, rtol=0.05)


def test_what_does_not_fit_is_refused():
    """Targets that are not there, weights that are missing or have another shape."""
    with pytest.raises(InvalidField, match=r"'wq'.*down_proj.*v_proj"):
        add_adapters(from_scratch(tiny_config(), 0), ("wq",), rank=4, alpha=8.0)
    network = adapted()
    weights = dict(to_peft(network))
    name = min(weights)
    with pytest.raises(DataCorrupt, match="has shape"):
        from_peft(network, weights | {name: torch.zeros(1, 1)})
    del weights[name]
    with pytest.raises(DataCorrupt, match="missing or not known"):
        from_peft(network, weights)
