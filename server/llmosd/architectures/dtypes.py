"""In which arithmetic a model can be served. Read by the front: imports no torch."""

from llmosd.errors import InvalidField

WIDTHS = {"float32": 4.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.625}
"""Bytes per weight; int4 has a scale and a minimum of 16 bits per 32 weights."""

_FLOATS = ("float32", "bfloat16")
_SERVED = {
    ("llama", "cpu"): (*_FLOATS, "int8", "int4"),
    ("gpt2", "cpu"): _FLOATS,
    ("rnn", "cpu"): _FLOATS,
    ("gru", "cpu"): _FLOATS,
    ("lstm", "cpu"): _FLOATS,
    ("llama", "cuda"): _FLOATS,
    ("gpt2", "cuda"): _FLOATS,
}


def check_served(architecture: str, device: str, dtype: str) -> None:
    """Raise InvalidField when no runner has this arithmetic."""
    served = _SERVED.get((architecture, device))
    if served is None:
        elsewhere = [place for known, place in _SERVED if known == architecture]
        if elsewhere:
            raise InvalidField.of(
                "model", f"{architecture} models run on {elsewhere[0]}, not on {device}"
            )
        raise InvalidField.of("model", f"{architecture} models are trained, not generated with")
    if dtype not in served:
        raise InvalidField.of(
            "dtype",
            f"{architecture} models run as {', '.join(served)} on {device}, not as {dtype}",
        )
