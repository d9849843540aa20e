"""The weights of a version that was quantized, as the numbers they stand for."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import safe_open

from llmosd.jobs.importing.safetensors_reader import SafetensorsFile
from llmosd.jobs.importing.weights import Weight
from llmosd.quantizers.stored import MINIMUMS, SCALES, logical, read_stored


def dequantized_weights(path: Path, file: SafetensorsFile) -> dict[str, Weight]:
    """All weights; quantized matrices as float32, each only while it is read."""
    names = set(file.tensors)
    found: dict[str, Weight] = {}
    for name in logical(list(file.tensors)):
        if name + SCALES in names:
            rows, columns = file.tensors[name].shape
            packed = name + MINIMUMS in names  # two numbers of four bits in a byte
            shape = (rows, 2 * columns if packed else columns)
            found[name] = Weight(shape, "float32", partial(_pieces, path, name, names))
        else:
            found[name] = file.weight(name)
    return found


def _pieces(path: Path, name: str, names: set[str]) -> Iterator[NDArray[Any]]:
    with safe_open(path, framework="pt") as file:
        yield read_stored(name, names, file.get_tensor).float().contiguous().numpy().reshape(-1)
