"""config.json with numbers, types and sizes that no model has."""

import json

import pytest

import factory
from llmosd.errors import (
    InsufficientMemory,
    InvalidModelFile,
)


def edit(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))


HUGE = 10**9
FIELDS = [
    ({"num_hidden_layers": HUGE}, "num_layers is 1000000000; it must be from 1 to 1024"),
    ({"vocab_size": HUGE}, "vocab_size is 1000000000"),
    ({"hidden_size": HUGE}, "hidden_size is 1000000000"),
    ({"intermediate_size": HUGE}, "intermediate_size is 1000000000"),
    ({"num_attention_heads": HUGE}, r"heads \(1000000000\)"),
    ({"max_position_embeddings": HUGE}, "context_length is 1000000000"),
    ({"head_dim": HUGE}, "head_dim is 1000000000"),
    ({"hidden_size": 10**400}, "hidden_size"),
    ({"num_attention_heads": 0}, r"number of heads \(0\)"),
    ({"num_attention_heads": -4}, r"number of heads \(-4\)"),
    ({"num_key_value_heads": 0}, "num_kv_heads is 0"),
    ({"num_key_value_heads": 3}, "no multiple of num_kv_heads"),
    ({"hidden_size": 65, "head_dim": ...}, r"hidden_size \(65\) is no multiple"),
    ({"hidden_size": -64}, "hidden_size is -64"),
    ({"hidden_size": 0}, "hidden_size is 0"),
    ({"num_hidden_layers": 0}, "num_layers is 0"),
    ({"num_hidden_layers": -1}, "num_layers is -1"),
    ({"num_hidden_layers": True}, "num_hidden_layers is not a whole number"),
    ({"num_hidden_layers": "2"}, "num_hidden_layers is not a whole number"),
    ({"num_hidden_layers": 2.5}, "num_hidden_layers is not a whole number"),
    ({"num_hidden_layers": None}, "num_hidden_layers is missing"),
    ({"vocab_size": ...}, "vocab_size is missing"),
    ({"head_dim": 15}, "head_dim is 15; rotary embedding needs it even"),
    ({"rms_norm_eps": 0}, "norm_eps is 0"),
    ({"rms_norm_eps": -1}, "norm_eps is -1"),
    ({"rms_norm_eps": 10**400}, "rms_norm_eps is too large"),
    ({"hidden_act": "relu"}, "hidden_act is not silu"),
    ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is neither true nor false"),
    ({"architectures": ["EvilForCausalLM"]}, "architectures is 'EvilForCausalLM'; supported are"),
    ({"architectures": []}, "architectures is ''"),
    ({"architectures": "LlamaForCausalLM"}, "architectures is not a list of texts"),
    ({"auto_map": {"AutoModel": "evil.py"}}, "auto_map: the model needs code of its own"),
    ({"quantization_config": {"quant_method": "gptq"}}, "weights must not be quantized"),
    ({"rope_parameters": {"rope_type": "dynamic"}}, "rotary scaling 'dynamic' is not supported"),
    ({"rope_parameters": {"rope_type": "linear"}}, "rope_parameters: factor is missing"),
    ({"rope_parameters": {"rope_theta": -1.0}}, "rope.theta is -1.0"),
    ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor other than 1"),
    ({"rope_parameters": [1]}, "rope_parameters is not an object"),
    (
        {"rope_parameters": {"rope_type": "yarn", "original_max_position_embeddings": 0}},
        "original_max_position_embeddings is not positive",
    ),
]


@pytest.mark.parametrize(("changes", "message"), FIELDS, ids=lambda value: str(value)[:40])
def test_every_field_of_the_config_is_bounded(folder, refused, changes, message):
    edit(folder, **changes)
    refused(folder, InvalidModelFile, message)


def test_no_number_in_any_field_does_worse_than_a_refusal(folder, tmp_path):
    original = json.loads((folder / "config.json").read_text())
    numbers = [k for k, v in original.items() if isinstance(v, int | float) and v is not True]
    assert len(numbers) >= 10
    for field in numbers:
        for value in (0, -1, HUGE, 2**63, 1e308, True, "7", [], {}, None, 3):
            edit(folder, **(original | {field: value}))
            output = tmp_path / "o" / field / str(value)[:20]
            output.mkdir(parents=True)
            try:
                factory.tiny_version(folder, output)
            except (InvalidModelFile, InsufficientMemory) as error:
                assert error.message  # noqa: PT017


@pytest.mark.parametrize("layer_types", [["sliding_attention", "full_attention"], ["linear"]])
def test_mixed_layers_are_refused(tmp_path, refused, layer_types):
    folder = factory.tiny_qwen2(tmp_path / "hf")
    edit(folder, use_sliding_window=True, sliding_window=16, layer_types=layer_types)
    refused(folder, InvalidModelFile, "layers must all be of one kind")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "config.json: not valid JSON"),
        (b"[]", "config.json: not a JSON object"),
        (b"\xff", "config.json: not valid JSON"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, "config.json: nested too deeply"),
        (b'{"a": "' + b"x" * (100 << 20) + b'"}', "config.json: longer than 16777216 bytes"),
        (b'{"vocab_size": 1, "vocab_size": 2}', "key 'vocab_size' comes twice"),
        (b'{"vocab_size": Infinity}', "Infinity is not JSON"),
    ],
    ids=["empty", "list", "bytes", "deep", "100 MB", "doubled", "infinity"],
)
def test_config_that_is_no_config(folder, tmp_path, content, message):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(InvalidModelFile, match=message):
        factory.tiny_version(folder, tmp_path)


def test_a_config_beyond_the_memory_is_refused_before_its_weights_are_looked_for(folder, refused):
    edit(folder, hidden_size=1 << 16, intermediate_size=1 << 18, num_hidden_layers=100)
    refused(folder, InsufficientMemory, "parameters, at least", memory_bytes=1 << 33)
