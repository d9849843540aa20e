"""The fused int8 and int4 decoder, every family, against transformers on the same rounded weights.

The oracle multiplies, in float32, the matrices that the integers stand for; what differs is the
activations, which are integers here. The control leaves out the family's own part of the network.
"""

import msgspec
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from factory import TINY, tiny_version
from llmos_kernels.attention import rows_per_tile
from llmosd.architectures.architecture import ForwardBatch
from llmosd.architectures.config import ModelConfig
from llmosd.engine.kv_cache import BLOCK_TOKENS, KVCache
from llmosd.engine.packing import pack
from llmosd.engine.quantized_llama import QuantizedLlama
from llmosd.quantizers.quantizer import dequantize
from llmosd.quantizers.registry import QUANTIZERS

PROMPT = torch.randint(0, 276, (1, 256), generator=torch.Generator().manual_seed(7))
OPTIONS = {
    "mistral": {"sliding_window": 24},
    # Heads of a size that fills AMX's tiles, and widths that end within a panel.
    "wide": {"head_dim": 64, "intermediate_size": 88, "hidden_size": 84},
}
# Of the logits' spread. Measured: 0.017 at most; without its own part a family is off by 0.2.
TOLERANCE = 0.04
CONTROL = 0.1


@pytest.fixture(scope="module", params=["llama", "mistral", "qwen2", "qwen3", "wide"])
def family(request, tmp_path_factory):
    """Name, Hugging Face folder and version folder."""
    root = tmp_path_factory.mktemp(request.param)
    make = TINY.get(request.param, TINY["llama"])
    make(root / "source", **OPTIONS.get(request.param, {}))
    (root / "version").mkdir()
    tiny_version(root / "source", root / "version")
    return request.param, root / "source", root / "version"


@pytest.mark.parametrize("dtype", QUANTIZERS)
@torch.inference_mode()
def test_logits(family, dtype):
    """All positions' logits, prompt and decoding alike; the control is far off."""
    name, source, version = family
    network, config = quantized(version, dtype)
    ours = logits(network, config, [256])
    reference = rounded(source, dtype)
    assert error(ours, reference(PROMPT).logits[0]) < TOLERANCE
    leave_out(name, reference)
    assert error(ours, reference(PROMPT).logits[0]) > CONTROL


@pytest.mark.parametrize("dtype", QUANTIZERS)
@torch.inference_mode()
def test_chunks_do_not_matter(family, dtype):
    """A prompt at once, in pieces, and token by token: the same bits.

    At once, each thread takes rows; in pieces, columns.
    """
    network, config = quantized(family[2], dtype)
    whole = logits(network, config, [256])
    assert torch.equal(logits(network, config, [7, 32, 1, 60, 156]), whole)
    assert torch.equal(logits(network, config, [1] * 256), whole)


@pytest.mark.parametrize("dtype", QUANTIZERS)
@torch.inference_mode()
def test_many_streams(family, dtype):
    """A step of 256 first tokens, each of its own sequence: what each gets alone."""
    network, config = quantized(family[2], dtype)
    together = first_tokens(network, config, 256)
    assert torch.equal(
        together, torch.cat([first_tokens(network, config, 1, at) for at in range(256)])
    )
    assert torch.equal(first_tokens(network, config, 40, 70), together[70:110])


def quantized(version, dtype):
    config = msgspec.json.decode((version / "config.json").read_bytes(), type=ModelConfig)
    with safe_open(version / "model.safetensors", framework="pt") as file:
        return QuantizedLlama(config, pack(config, file.get_tensor, dtype), 2), config


def logits(network, config, counts):
    """Logits of PROMPT's positions, run in steps of `counts` tokens."""
    blocks = -(-PROMPT.shape[1] // BLOCK_TOKENS)
    cache = KVCache(config, blocks, torch.device("cpu"), torch.bfloat16)
    rows, first = [], 0
    for count in counts:
        at = torch.arange(first, first + count, dtype=torch.int32)
        size = rows_per_tile(config.num_heads, config.num_kv_heads)
        tiles = [[i, min(size, count - i), 0] for i in range(0, count, size)]
        batch = ForwardBatch(
            ids=PROMPT[0, first : first + count],
            positions=at,
            tiles=torch.tensor(tiles, dtype=torch.int32),
            slots=at.long(),
            tables=torch.arange(blocks, dtype=torch.int32)[None],
            spans=[(0, count)],
            adapters=torch.zeros(count, dtype=torch.int32),
        )
        rows.append(network.logits(network.forward(batch, cache)))
        first += count
    return torch.cat(rows)


def first_tokens(network, config, count, first=0):
    """Logits after PROMPT's tokens [first, first + count), each at position 0, each in a block."""
    cache = KVCache(config, count, torch.device("cpu"), torch.bfloat16)
    each = torch.arange(count, dtype=torch.int32)
    tiles = torch.stack([each, torch.ones_like(each), each], dim=1)
    batch = ForwardBatch(
        ids=PROMPT[0, first : first + count],
        positions=torch.zeros_like(each),
        tiles=tiles,
        slots=each.long() * BLOCK_TOKENS,
        tables=each[:, None].contiguous(),
        spans=[(at, 1) for at in range(count)],
        adapters=torch.zeros_like(each),
    )
    return network.logits(network.forward(batch, cache))


def rounded(source, dtype):
    """Transformers' model with every matrix as our integers have it; the head is int8."""
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    table = model.get_input_embeddings().weight
    head = model.lm_head.weight.detach().clone()
    model.lm_head.weight = torch.nn.Parameter(dequantize(QUANTIZERS["int8"].quantize(head)))
    table.copy_(table.bfloat16())
    for layer in model.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for module in part.children():
                if isinstance(module, torch.nn.Linear):
                    numbers = QUANTIZERS[dtype].quantize(module.weight)
                    module.weight.copy_(dequantize(numbers))
    return model


def leave_out(name, model):
    """What makes the family itself, in the first layer; of Llama, the norm's weight."""
    layer = model.model.layers[0]
    if name == "qwen2":
        layer.self_attn.k_proj.bias.zero_()
        layer.self_attn.v_proj.bias.zero_()
    elif name == "qwen3":
        layer.self_attn.q_norm.weight.fill_(1.0)
        layer.self_attn.k_norm.weight.fill_(1.0)
    elif name == "mistral":
        model.config.sliding_window = None
    else:
        layer.input_layernorm.weight.fill_(1.0)


def error(ours, reference):
    return float((ours - reference).std() / reference.std())
