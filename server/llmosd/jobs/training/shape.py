"""The sizes of a network from scratch. Imports nothing heavy: the front estimates by it."""

from typing import Any

import msgspec

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.states import RECURRENT
from llmosd.errors import InvalidField
from llmosd.jobs.specs import TrainSpec

# What one vector per layer and sequence costs does not depend on how long a text is.
_RECURRENT: dict[str, Any] = {"norm_eps": 1e-5, "tie_embeddings": True, "context_length": 65_536}
_SHAPE: dict[str, dict[str, Any]] = {
    "llama": {"norm_eps": 1e-5, "activation": "silu", "tie_embeddings": True},
    "encoder": {"norm_eps": 1e-5, "activation": "silu", "tie_embeddings": True},
    "rnn": _RECURRENT,
    "gru": _RECURRENT,
    "lstm": _RECURRENT,
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
    if spec.family in RECURRENT:
        _check_recurrent(spec)
        values |= {"num_heads": 1, "intermediate_size": hidden}
        values.setdefault("num_layers", 2)
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


def _check_recurrent(spec: TrainSpec) -> None:
    """Raise InvalidField for sizes that recurrent layers do not have."""
    known = {"hidden_size", "num_layers", "context_length", "tie_embeddings"}
    for name in spec.shape:
        if name not in known:
            raise InvalidField.of(
                f"shape.{name}", f"{spec.family} has none; it has {', '.join(sorted(known))}"
            )
