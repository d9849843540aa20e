"""In which arithmetic a model can be served. Read by the front: imports no torch."""

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.family import FLOATS
from llmosd.architectures.families.table import family_of
from llmosd.errors import InvalidField

WIDTHS = {"float32": 4.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.625}
"""Bytes per weight; int4 has a scale and a minimum of 16 bits per 32 weights."""

QUANTIZED = frozenset({"int8", "int4"})


def check_served(config: ModelConfig, device: str, dtype: str) -> None:
    """Raise InvalidField when no runner has this arithmetic."""
    family, name = family_of(config.architecture), config.architecture
    labels = config.head != "language"
    if not labels and "masked_language_model" in family.objectives:
        raise InvalidField.of(
            "model",
            f"an {name} that guesses hidden words is trained further, not served; train one from "
            "it with the objective classify or regress",
        )
    if not family.served:
        raise InvalidField.of("model", f"{name} models are trained, not served")
    served = family.served.get(device)
    if served is None:
        places = ", ".join(family.served)
        raise InvalidField.of("model", f"{name} models run on {places}, not on {device}")
    if dtype not in served:
        raise InvalidField.of(
            "dtype", f"{name} models run as {', '.join(served)} on {device}, not as {dtype}"
        )
    if labels and dtype not in FLOATS:
        raise InvalidField.of(
            "dtype", f"models that {config.head} run as {', '.join(FLOATS)}, not as {dtype}"
        )
