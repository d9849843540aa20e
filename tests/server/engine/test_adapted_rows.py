"""Rows through adapters, in one step with their base: against transformers on W + BA.

The products of the base are what each arithmetic makes of them; what an adapter adds is float32.
"""

import dataclasses

import msgspec
import numpy as np
import pytest
import torch
from safetensors import safe_open

from factory import tiny_adapter, tiny_llama_folder, tiny_version
from llmos_kernels.attention import rows_per_tile
from llmosd.architectures.architecture import ForwardBatch
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.llama import PRODUCTS
from llmosd.architectures.llama import Llama
from llmosd.architectures.peft_files import PREFIX
from llmosd.architectures.spans import tiles_of
from llmosd.engine.adapters import read_changes, with_adapter
from llmosd.engine.kernel_ops import KernelOps
from llmosd.engine.kv_cache import BLOCK_TOKENS, KVCache
from llmosd.engine.packing import pack
from llmosd.engine.quantized_llama import QuantizedLlama
from llmosd.errors import DataCorrupt
from llmosd.quantizers.quantizer import dequantize
from llmosd.quantizers.registry import QUANTIZERS

DTYPES = ["float32", "bfloat16", "int8", "int4"]
TARGETS = {
    1: ["q_proj", "v_proj"],
    2: [name.rpartition(".")[2] for p in PRODUCTS.values() for name in p],
}
RANK = {1: 8, 2: 3}
TOKENS = torch.randint(0, 276, (600,), generator=torch.Generator().manual_seed(3))
# Of the hidden states' spread, as test_quantized_llama measures activations of few bits.
TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-4, "int8": 0.04, "int4": 0.04}


@pytest.fixture(scope="module", params=["even", "odd"])
def versions(request, tmp_path_factory):
    """The base's folder, and two adapters'; "odd" widths end within panels."""
    root = tmp_path_factory.mktemp(request.param)
    odd = {"head_dim": 64, "intermediate_size": 88, "hidden_size": 84}
    tiny_llama_folder(root / "source", **(odd if request.param == "odd" else {}))
    (root / "base").mkdir()
    tiny_version(root / "source", root / "base")
    for number in TARGETS:
        adapt(root / f"adapter{number}", root / "base", number)
    return root


def config_of(folder):
    return msgspec.json.decode((folder / "config.json").read_bytes(), type=ModelConfig)


def adapt(folder, version, number, *extra):
    tiny_adapter(version, folder, TARGETS[number], rank=RANK[number], seed=number, extra=extra)


def network_of(versions, dtype, adapter=0):
    """With both adapters beside it, or one merged."""
    config = config_of(versions / "base")
    with safe_open(versions / "base" / "model.safetensors", framework="pt") as file:

        def rounded(name):
            """A weight as the arithmetic has it, in float32."""
            weight = file.get_tensor(name)
            if dtype == "float32" or weight.dim() < 2:
                return weight
            if dtype == "bfloat16" or "embed" in name:
                return weight.bfloat16().float()
            return dequantize(QUANTIZERS[dtype].quantize(weight))

        if adapter:
            weights = with_adapter(versions / f"adapter{adapter}", rounded)
            return Llama(config, weights, KernelOps(torch.device("cpu"), torch.float32)), config
        if dtype in QUANTIZERS:
            network = QuantizedLlama(config, pack(config, file.get_tensor, dtype), 2)
        else:
            ops = KernelOps(torch.device("cpu"), getattr(torch, dtype))
            network = Llama(config, file.get_tensor, ops)
    for number in TARGETS:
        changes = read_changes(versions / f"adapter{number}", config)
        network.set_adapter(number, [network.pack_adapter(layer) for layer in changes])
    return network, config


def hidden(network, config, prompts, dtype="float32"):
    """Hidden states of a step's rows: `prompts` are (first token in TOKENS, count, adapter)."""
    blocks = [-(-count // BLOCK_TOKENS) for _, count, _ in prompts]
    kind = torch.bfloat16 if dtype in QUANTIZERS else torch.float32
    cache = KVCache(config, sum(blocks), torch.device("cpu"), kind)
    tables = np.zeros((len(prompts), max(blocks)), np.int32)
    slots, spans, ids, adapters = [], [], [], []
    for at, (first, count, adapter) in enumerate(prompts):
        own = sum(blocks[:at]) + np.arange(blocks[at])
        tables[at, : blocks[at]] = own
        spans.append((sum(count for _, count, _ in prompts[:at]), count))
        slots += [own[i // BLOCK_TOKENS] * BLOCK_TOKENS + i % BLOCK_TOKENS for i in range(count)]
        ids.append(TOKENS[first : first + count])
        adapters += [adapter] * count
    tile = rows_per_tile(config.num_heads, config.num_kv_heads)
    batch = ForwardBatch(
        ids=torch.cat(ids),
        positions=torch.cat([torch.arange(c, dtype=torch.int32) for _, c, _ in prompts]),
        tiles=torch.from_numpy(tiles_of(spans, tile)),
        slots=torch.tensor(slots),
        tables=torch.from_numpy(tables),
        spans=spans,
    )
    if any(adapters):
        batch = dataclasses.replace(batch, adapters=torch.tensor(adapters, dtype=torch.int32))
    parts = network.forward(batch, cache)
    return parts.split([count for _, count, _ in prompts])


@pytest.mark.parametrize("dtype", DTYPES)
@torch.inference_mode()
def test_equals_merged(versions, dtype):
    """A step with rows of both adapters and of the base: each as the network W + BA has it."""
    network, config = network_of(versions, dtype)
    prompts = [(0, 50, 0), (0, 50, 1), (0, 50, 2)]
    found = hidden(network, config, prompts, dtype)
    for number, ours in zip(TARGETS, found[1:], strict=True):
        merged, _ = network_of(versions, dtype, number)
        theirs = hidden(merged, config, [(0, 50, 0)])[0]
        spread = theirs.std()
        assert (ours - theirs).abs().mean() < TOLERANCE[dtype] * spread
        assert (found[0] - theirs).abs().mean() > 0.1 * spread  # without it


@pytest.mark.parametrize("dtype", DTYPES)
@torch.inference_mode()
def test_bits_do_not_depend_on_the_batch(versions, dtype):
    """Few rows, many rows that threads share by columns, and many more that they share by rows."""
    network, config = network_of(versions, dtype)
    prompts = [(7, 1, 2), (30, 3, 1), (9, 40, 0), (200, 17, 2), (100, 250, 1), (5, 1, 0)]
    alone = [hidden(network, config, [each], dtype)[0] for each in prompts]
    for part in (prompts[:2], prompts[:4], prompts):
        for ours, expected in zip(hidden(network, config, part, dtype), alone, strict=False):
            assert torch.equal(ours, expected)
    network.set_adapter(1, None)
    assert not torch.equal(hidden(network, config, prompts[1:2], dtype)[0], alone[1])
    assert torch.equal(hidden(network, config, prompts[:1], dtype)[0], alone[0])


def test_what_is_not_of_the_base_is_refused(versions, tmp_path):
    """Damage is told by name, and nothing is half read."""
    config = config_of(versions / "base")
    folder = tmp_path / "adapter"
    adapt(folder, versions / "base", 1, (f"{PREFIX}lm_head.lora_A.weight", torch.zeros(2, 2)))
    with pytest.raises(DataCorrupt, match="more than the products"):
        list(read_changes(folder, config))
    name = f"{PREFIX}model.layers.1.self_attn.q_proj.lora_A.weight"
    adapt(folder, versions / "base", 1, (name, torch.full((8, config.hidden_size), torch.nan)))
    with pytest.raises(DataCorrupt, match="not finite"):
        list(read_changes(folder, config))
    adapt(folder, versions / "base", 1, (name, torch.zeros(8, 5)))
    with pytest.raises(DataCorrupt, match="does not fit"):
        list(read_changes(folder, config))
