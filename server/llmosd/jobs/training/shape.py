"""The sizes of a network from scratch. Imports nothing heavy: the front estimates by it."""

from typing import Any

import msgspec

from llmosd.architectures.config import ModelConfig
from llmosd.errors import InvalidField
from llmosd.jobs.specs import TrainSpec

_SHAPE: dict[str, dict[str, Any]] = {
    "llama": {"norm_eps": 1e-5, "activation": "silu", "tie_embeddings": True},
    "encoder": {"norm_eps": 1e-5, "activation": "silu", "tie_embeddings": True},
    "gpt2": {
        "norm_eps": 1e-5,
        "activation": "gelu_new",
        "tie_embeddings": True,
        "qkv_bias": True,
        "output_bias": True,
        "mlp_bias": True,
    },
}


def fresh_config(spec: TrainSpec, words: int) -> ModelConfig:
    """What `spec.shape` says, the rest by default, over a vocabulary of `words`.

    Raises:
        InvalidField: for a field that ModelConfig does not have, or values that do not fit.
    """
    if spec.family not in _SHAPE:
        raise InvalidField.of("family", f"{spec.family!r} is not one of {', '.join(_SHAPE)}")
    values = _SHAPE[spec.family] | spec.shape
    hidden = int(values.setdefault("hidden_size", 128))
    heads = int(values.setdefault("num_heads", 4))
    values.setdefault("num_layers", 4)
    values.setdefault("num_kv_heads", heads)
    if heads < 1 or hidden % heads or heads % int(values["num_kv_heads"]):
        raise InvalidField.of("shape", "num_heads must divide hidden_size, num_kv_heads num_heads")
    values.setdefault("head_dim", hidden // heads)
    wide = 4 * hidden if spec.family == "gpt2" else -(-8 * hidden // 3 // 32) * 32
    values.setdefault("intermediate_size", wide)
    values.setdefault("context_length", spec.sequence_length)
    fixed = {"architecture": spec.family, "family": spec.family, "vocab_size": words}
    try:
        return msgspec.convert(values | fixed, ModelConfig)
    except msgspec.ValidationError as error:
        raise InvalidField.of("shape", str(error)) from None
