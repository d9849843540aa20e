"""In which arithmetic a model can be served. Read by the front: imports no torch."""

from llmosd.architectures.families.table import family_of
from llmosd.errors import InvalidField

WIDTHS = {"float32": 4.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.625}
"""Bytes per weight; int4 has a scale and a minimum of 16 bits per 32 weights."""


def check_served(architecture: str, device: str, dtype: str) -> None:
    """Raise InvalidField when no runner has this arithmetic."""
    places = family_of(architecture).served
    served = places.get(device)
    if served is None:
        if places:
            raise InvalidField.of(
                "model", f"{architecture} models run on {', '.join(places)}, not on {device}"
            )
        raise InvalidField.of("model", f"{architecture} models are trained, not generated with")
    if dtype not in served:
        raise InvalidField.of(
            "dtype",
            f"{architecture} models run as {', '.join(served)} on {device}, not as {dtype}",
        )
