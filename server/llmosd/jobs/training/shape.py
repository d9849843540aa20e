"""The sizes of a network from scratch. Imports nothing heavy: the front estimates by it."""

import msgspec

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import family_of
from llmosd.errors import InvalidField
from llmosd.jobs.specs import TrainSpec


def fresh_config(spec: TrainSpec, words: int) -> ModelConfig:
    """What `spec.shape` says, the rest by default, over a vocabulary of `words`.

    Raises:
        InvalidField: for a family that is not known, a field that it does not have, or values that
            do not fit.
    """
    family = family_of(spec.family)
    for name in spec.shape:
        if name not in family.sizes:
            raise InvalidField.of(
                f"shape.{name}",
                f"{family.name} has none; it has {', '.join(sorted(family.sizes))}",
            )
    values = {"hidden_size": 128, "num_layers": 4, **family.defaults, **spec.shape}
    hidden = int(values["hidden_size"])
    heads = int(values.setdefault("num_heads", 4))
    values.setdefault("num_kv_heads", heads)
    if heads < 1 or hidden % heads or heads % int(values["num_kv_heads"]):
        raise InvalidField.of("shape", "num_heads must divide hidden_size, num_kv_heads num_heads")
    values.setdefault("head_dim", hidden // heads)
    values.setdefault("intermediate_size", family.inner(hidden))
    values.setdefault("context_length", spec.sequence_length)
    fixed = {"architecture": spec.family, "family": spec.family, "vocab_size": words}
    try:
        return msgspec.convert(values | fixed, ModelConfig)
    except msgspec.ValidationError as error:
        raise InvalidField.of("shape", str(error)) from None
