"""GGUF's metadata as our ModelConfig.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#standardized-key-value-pairs.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from llmosd.architectures.config import ModelConfig, RopeConfig
from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.bounds import check_config
from llmosd.jobs.importing.dequantize import dequantize
from llmosd.jobs.importing.gguf_names import EMBEDDING, ROPE_FACTORS, ties_output
from llmosd.jobs.importing.gguf_reader import GgufFile
from llmosd.jobs.importing.strangers import shown

_LLAMA3_CONTEXT = 8192  # of every published Llama 3; the file does not say


class _Family(NamedTuple):
    architecture: str
    activation: str
    epsilon: str


_FAMILIES = {
    "llama": _Family("llama", "silu", "attention.layer_norm_rms_epsilon"),
    "qwen2": _Family("llama", "silu", "attention.layer_norm_rms_epsilon"),
    "qwen3": _Family("llama", "silu", "attention.layer_norm_rms_epsilon"),
    "gpt2": _Family("gpt2", "gelu_new", "attention.layer_norm_epsilon"),
}


def gguf_config(file: GgufFile) -> ModelConfig:
    """Translate the metadata; raises InvalidModelFile naming the key that is missing or wrong."""
    name = file.metadata.get("general.architecture")
    if not isinstance(name, str) or name not in _FAMILIES:
        raise InvalidModelFile(
            f"GGUF: architecture {shown(str(name))} is not supported, only {', '.join(_FAMILIES)}"
        )
    if any(".ffn_gate_inp." in tensor for tensor in file.tensors):
        raise InvalidModelFile("GGUF: mixtures of experts are not supported")
    keys = _Keys(file, name)
    family = _FAMILIES[name]
    heads = keys.integer("attention.head_count")
    hidden = keys.integer("embedding_length")
    head_dim = _head_dim(keys, hidden, heads)
    return check_config(
        ModelConfig(
            architecture=family.architecture,
            family=name,
            vocab_size=_vocab_size(file),
            hidden_size=hidden,
            intermediate_size=keys.integer("feed_forward_length"),
            num_layers=keys.integer("block_count"),
            num_heads=heads,
            num_kv_heads=keys.integer("attention.head_count_kv", heads),
            head_dim=head_dim,
            context_length=keys.integer("context_length"),
            norm_eps=_short(keys.number(family.epsilon)),
            activation=family.activation,
            rope=_rope(file, keys, head_dim) if family.architecture == "llama" else RopeConfig(),
            tie_embeddings=ties_output(file),
            qkv_bias=_any(file, "attn_q.bias", "attn_qkv.bias"),
            output_bias=_any(file, "attn_output.bias"),
            mlp_bias=_any(file, "ffn_up.bias"),
            qk_norm=_any(file, "attn_q_norm.weight"),
            sliding_window=keys.integer("attention.sliding_window", 0),
        )
    )


class _Keys:
    """The metadata of one architecture, with types checked."""

    def __init__(self, file: GgufFile, architecture: str) -> None:
        self._metadata = file.metadata
        self._architecture = architecture

    def integer(self, key: str, default: int | None = None) -> int:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidModelFile(f"GGUF: {self._architecture}.{key} is not one whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidModelFile(f"GGUF: {self._architecture}.{key} is not a number")
        return float(value)

    def text(self, key: str, default: str) -> str:
        return str(self._get(key, default))

    def has(self, key: str) -> bool:
        return f"{self._architecture}.{key}" in self._metadata

    def _get(self, key: str, default: object) -> object:
        value = self._metadata.get(f"{self._architecture}.{key}", default)
        if value is None:
            raise InvalidModelFile(f"GGUF: metadata key {self._architecture}.{key} is missing")
        return value


def _head_dim(keys: _Keys, hidden: int, heads: int) -> int:
    if heads < 1:
        raise InvalidModelFile(f"GGUF: attention.head_count is {heads}")
    if not keys.has("attention.key_length") and hidden % heads:
        raise InvalidModelFile(
            f"GGUF: embedding_length ({hidden}) is no multiple of attention.head_count ({heads})"
        )
    head_dim = keys.integer("attention.key_length", hidden // heads)
    if keys.integer("attention.value_length", head_dim) != head_dim:
        raise InvalidModelFile("GGUF: attention.value_length differs from key_length")
    if keys.integer("rope.dimension_count", head_dim) != head_dim:
        raise InvalidModelFile("GGUF: rotary embedding of a part of each head is not supported")
    return head_dim


def _vocab_size(file: GgufFile) -> int:
    if EMBEDDING not in file.tensors:
        raise InvalidModelFile(f"GGUF: tensor {EMBEDDING} is missing")
    return file.tensors[EMBEDDING].shape[0]


def _any(file: GgufFile, *suffixes: str) -> bool:
    return any(f"blk.0.{suffix}" in file.tensors for suffix in suffixes)


def _rope(file: GgufFile, keys: _Keys, head_dim: int) -> RopeConfig:
    theta = _short(keys.number("rope.freq_base", 10000.0))
    if ROPE_FACTORS in file.tensors:
        return _llama3(file, keys, theta, head_dim)
    if "rope_factors_long.weight" in file.tensors:
        raise InvalidModelFile("GGUF: rotary scaling 'longrope' is not supported")
    # Files from before rope.scaling.type had linear scaling alone.
    old = keys.number("rope.scale_linear", 1.0)
    kind = keys.text("rope.scaling.type", "linear" if old != 1.0 else "none")
    if kind not in _SCALING:
        raise InvalidModelFile(f"GGUF: rotary scaling {shown(kind)} is not supported")
    return _SCALING[kind](keys, theta)


def _unscaled(keys: _Keys, theta: float) -> RopeConfig:
    del keys
    return RopeConfig(theta=theta)


def _linear(keys: _Keys, theta: float) -> RopeConfig:
    factor = keys.number("rope.scaling.factor", keys.number("rope.scale_linear", 1.0))
    return RopeConfig(theta=theta, kind="linear", factor=_short(factor))


def _yarn(keys: _Keys, theta: float) -> RopeConfig:
    if keys.number("rope.scaling.yarn_log_multiplier", 0.0) != 0.0:
        raise InvalidModelFile("GGUF: rope.scaling.yarn_log_multiplier is not supported")
    factor = _short(keys.number("rope.scaling.factor"))
    given = keys.number("rope.scaling.attn_factor", 1.0)
    # ggml multiplies the attention factor by 0.1 ln(factor) + 1; ours is the product.
    attention = None if given == 1.0 else _short(given) * (0.1 * math.log(factor) + 1.0)
    return RopeConfig(
        theta=theta,
        kind="yarn",
        factor=factor,
        original_context=keys.integer("rope.scaling.original_context_length"),
        beta_fast=_short(keys.number("rope.scaling.yarn_beta_fast", 32.0)),
        beta_slow=_short(keys.number("rope.scaling.yarn_beta_slow", 1.0)),
        attention_factor=attention,
    )


_SCALING: dict[str, Callable[[_Keys, float], RopeConfig]] = {
    "none": _unscaled,
    "linear": _linear,
    "yarn": _yarn,
}


def _llama3(file: GgufFile, keys: _Keys, theta: float, head_dim: int) -> RopeConfig:
    """Find the parameters that rope_freqs.weight was computed from, and prove them."""
    tensor = file.tensors[ROPE_FACTORS]
    if tensor.shape != (head_dim // 2,):
        raise InvalidModelFile(f"GGUF: tensor {ROPE_FACTORS} has a wrong shape")
    factors = dequantize(file.read(tensor, 0, tensor.byte_size), tensor.kind).astype(np.float64)
    if np.all(factors == 1.0):
        return RopeConfig(theta=theta)
    rope = RopeConfig(
        theta=theta,
        kind="llama3",
        factor=_short(float(np.max(factors))),
        original_context=keys.integer("rope.scaling.original_context_length", _LLAMA3_CONTEXT),
        low_freq_factor=1.0,
        high_freq_factor=4.0,
    )
    if not np.allclose(factors, llama3_factors(rope, head_dim), rtol=1e-3):
        raise InvalidModelFile(f"GGUF: tensor {ROPE_FACTORS} is not Llama 3's rotary scaling")
    return rope


def llama3_factors(rope: RopeConfig, head_dim: int) -> list[float]:
    """What each of head_dim / 2 rotary frequencies is divided by, in Llama 3's scaling."""
    factors = []
    for index in range(head_dim // 2):
        wavelength = 2 * math.pi * rope.theta ** (2 * index / head_dim)
        turns = rope.original_context / wavelength
        low, high = rope.low_freq_factor, rope.high_freq_factor
        smooth = min(1.0, max(0.0, (turns - low) / (high - low)))
        factors.append(1.0 / ((1.0 - smooth) / rope.factor + smooth))
    return factors


def _short(value: float) -> float:
    """A float32 as the shortest decimal it stands for: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value)))
