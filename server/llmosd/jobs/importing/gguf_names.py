"""GGUF's tensors as the weights of our architectures: Hugging Face's names and row order.

llama.cpp's converter reorders the rows of Llama's Q and K so that rotary pairs are neighbours;
Hugging Face keeps them half a head apart. Only files of architecture "llama" have that order.
GPT-2's matrices are [outputs, inputs] in GGUF, as we keep them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import expected_shapes
from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.dequantize import BLOCKS, dequantize
from llmosd.jobs.importing.gguf_reader import GgufFile, GgufTensor
from llmosd.jobs.importing.strangers import shown
from llmosd.jobs.importing.weights import NUMPY, PIECE, Weight, transformed
from llmosd.store.manifest import Dtype

EMBEDDING, OUTPUT, ROPE_FACTORS = "token_embd.weight", "output.weight", "rope_freqs.weight"

_LLAMA = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_GPT2 = {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
_NAMES = {"llama": _LLAMA, "gpt2": _GPT2}
_LAYERS = {"llama": "model.layers.", "gpt2": "transformer.h."}

# As they are; anything else becomes float32.
_KEPT: dict[str, Dtype] = {"F16": "float16", "BF16": "bfloat16"}


def gguf_weights(file: GgufFile, config: ModelConfig) -> dict[str, Weight]:
    """Every weight that `config` expects, by its name; nothing is read yet.

    Raises InvalidModelFile for a tensor that is missing, left over, or of another shape.
    """
    weights: dict[str, Weight] = {}
    unused = dict(file.tensors)
    unused.pop(ROPE_FACTORS, None)
    if config.tie_embeddings:
        unused.pop(OUTPUT, None)
    for name, shape in expected_shapes(config).items():
        tensor = unused.pop(gguf_name(config.architecture, name), None)
        if tensor is None:
            raise InvalidModelFile(
                f"GGUF: tensor {gguf_name(config.architecture, name)} is missing"
            )
        if tensor.shape != shape:
            raise InvalidModelFile(
                f"GGUF: tensor {tensor.name} has shape {list(tensor.shape)}, not {list(shape)}"
            )
        weights[name] = _weight(file, tensor, config)
    if unused:
        raise InvalidModelFile(f"GGUF: unexpected tensor {shown(next(iter(unused)))}")
    return weights


def gguf_name(architecture: str, name: str) -> str:
    """What llama.cpp calls the weight that we call `name`."""
    module, _, suffix = name.rpartition(".")
    layers = _LAYERS[architecture]
    if not module.startswith(layers):
        return f"{_NAMES[architecture][module]}.{suffix}"
    number, _, inner = module.removeprefix(layers).partition(".")
    return f"blk.{number}.{_NAMES[architecture][inner]}.{suffix}"


def ties_output(file: GgufFile) -> bool:
    """Whether the output layer is the embedding: not stored, or stored a second time."""
    output, embedding = file.tensors.get(OUTPUT), file.tensors.get(EMBEDDING)
    if output is None or embedding is None:
        return output is None
    if (output.kind, output.shape) != (embedding.kind, embedding.shape):
        return False
    step = 1 << 24
    return all(
        file.read(output, at, min(step, output.byte_size - at))
        == file.read(embedding, at, min(step, output.byte_size - at))
        for at in range(0, output.byte_size, step)
    )


def _weight(file: GgufFile, tensor: GgufTensor, config: ModelConfig) -> Weight:
    block = BLOCKS[tensor.kind]
    dtype = _KEPT.get(block.name, "float32")

    def pieces() -> Iterator[NDArray[Any]]:
        step = max(1, PIECE // block.elements) * block.bytes
        for at in range(0, tensor.byte_size, step):
            data = file.read(tensor, at, min(step, tensor.byte_size - at))
            if block.name in _KEPT:
                yield np.frombuffer(data, NUMPY[dtype])
            else:
                yield dequantize(data, tensor.kind)

    weight = Weight(tensor.shape, dtype, pieces)
    heads = {"attn_q": config.num_heads, "attn_k": config.num_kv_heads}
    part = tensor.name.split(".")[-2]
    if file.metadata["general.architecture"] == "llama" and part in heads:
        return transformed(weight, lambda rows: _unpermute(rows, heads[part]))
    return weight


def _unpermute(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """Undo llama.cpp's order: rows r0 r1 of each pair side by side, back to two halves."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, half, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
