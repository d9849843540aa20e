"""Safetensors files that are broken, hostile, or not the architecture's."""

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import factory
from factory import write_safetensors
from llmosd.errors import (
    DataCorrupt,
    InsufficientMemory,
    InvalidField,
    InvalidModelFile,
)
from llmosd.jobs.importing.safetensors_reader import SafetensorsFile


def entry(begin=0, end=4, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def doubled(one):
    text = json.dumps(one)
    return f'{{"a": {text}, "a": {text}}}'


TENSORS = {
    "empty file": (b"", "too short"),
    "seven bytes": (bytes(7), "too short"),
    "header longer than the file": (struct.pack("<Q", 100) + b"{}", "ends within its header"),
    "header of 2^63": (struct.pack("<Q", 1 << 63) + b"{}", "more than 16777216"),
    "header of 17 MB": (struct.pack("<Q", 17 << 20) + b"{" * (17 << 20), "more than 16777216"),
    "not JSON": (["{nope"], "not valid JSON"),
    "not UTF-8": ([b'{"\xff": 1}'], "not valid JSON"),
    "a list": (["[1]"], "not a JSON object"),
    "2,000 deep": (['{"a":' * 2000 + "1" + "}" * 2000], "nested too deeply"),
    "NaN in the header": (['{"a": NaN}'], "NaN is not JSON"),
    "number of 5,000 digits": (['{"a": ' + "9" * 5000 + "}"], "not valid JSON"),
    "doubled key": ([doubled(entry()), bytes(4)], "key 'a' comes twice"),
    "entry without a shape": ([{"a": {"dtype": "F32"}}], "needs dtype, shape and data_offsets"),
    "entry with more": ([{"a": entry() | {"x": 1}}, bytes(4)], "and nothing else"),
    "entry that is a number": ([{"a": 1}], "needs dtype"),
    "unknown dtype": ([{"a": entry(dtype="F33")}, bytes(4)], "unknown type 'F33'"),
    "negative shape": ([{"a": entry(shape=[-1])}, bytes(4)], "shape that is none"),
    "shape of texts": ([{"a": entry(shape=["1"])}, bytes(4)], "shape that is none"),
    "shape of booleans": ([{"a": entry(shape=[True])}, bytes(4)], "shape that is none"),
    "nine dimensions": ([{"a": entry(shape=[1] * 9)}, bytes(4)], "shape that is none"),
    "shape past 2^63": ([{"a": entry(shape=[1 << 40, 1 << 40])}, bytes(4)], "impossible shape"),
    "three offsets": (
        [{"a": entry() | {"data_offsets": [0, 4, 8]}}, bytes(4)],
        "data_offsets that are none",
    ),
    "negative offset": ([{"a": entry(-4, 0)}, bytes(4)], "data_offsets that are none"),
    "offsets backwards": ([{"a": entry(4, 0)}, bytes(4)], "do not fit its shape"),
    "offsets too far apart": ([{"a": entry(0, 8)}, bytes(8)], "do not fit its shape"),
    "offset past the end": ([{"a": entry(0, 4)}, bytes(2)], "take 4 bytes, but the file has 2"),
    "a hole": ([{"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)], "leaves a hole"),
    "an overlap": ([{"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)], "overlaps"),
    "bytes left over": ([{"a": entry(0, 4)}, bytes(8)], "take 4 bytes, but the file has 8"),
    "metadata of numbers": ([{"__metadata__": {"a": 1}}], "__metadata__ is not a map of texts"),
    "100,000 empty tensors": (
        [{f"t{n}": entry(0, 0, [0]) for n in range(100_000)}],
        "more than 65536 tensors",
    ),
}


@pytest.mark.parametrize(("parts", "message"), TENSORS.values(), ids=TENSORS)
def test_malformed_safetensors(folder, refused, parts, message):
    path = folder / "model.safetensors"
    if isinstance(parts, bytes):
        path.write_bytes(parts)
    else:
        write_safetensors(path, *parts)
    # By itself, and as a part of a folder, where the sniffer may say it first.
    with pytest.raises(InvalidModelFile, match=message):
        SafetensorsFile(path, "model.safetensors", 1 << 30)
    refused(folder, InvalidModelFile, f"{message}|named safetensors")


def test_a_tensor_beyond_the_memory_is_refused_before_it_is_looked_for(folder, refused):
    shape, size = [1 << 16, 1 << 16], 1 << 34
    write_safetensors(folder / "model.safetensors", {"a": entry(0, size, shape)})
    refused(folder, InsufficientMemory, "takes 17179869184 bytes", memory_bytes=1 << 33)


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop(NORM), "weight model.norm.weight is missing"),
        (lambda w: w.pop("lm_head.weight"), "weight lm_head.weight is missing"),
        (
            lambda w: w.update({"../../etc/x": np.zeros(1, np.float32)}),
            "'../../etc/x' is no weight of a llama model",
        ),
        (
            lambda w: w.update({NORM: np.zeros(63, np.float32)}),
            r"model.norm.weight has shape \[63\], not \[64\]",
        ),
        (
            lambda w: w.update({NORM: np.zeros((64, 1), np.float32)}),
            r"has shape \[64, 1\], not \[64\]",
        ),
        (
            lambda w: w.update({NORM: np.zeros(64, np.int32)}),
            "has type I32; supported are F32, F16, BF16",
        ),
    ],
)
def test_weights_are_exactly_those_of_the_architecture(folder, refused, change, message):
    change_weights(folder, change)
    refused(folder, InvalidModelFile, message)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(tmp_path, refused, dtype, value):
    from safetensors.torch import load_file as load
    from safetensors.torch import save_file as save

    folder = factory.tiny_llama_folder(tmp_path / "hf", dtype=dtype)
    weights = load(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = value
    save(weights, folder / "model.safetensors")
    refused(folder, DataCorrupt, r"'model.layers.1.mlp.up_proj.weight' holds NaN or infinity")


def test_weights_too_large_for_the_type_asked_for(folder, refused):
    change_weights(folder, lambda w: w[NORM].__setitem__(0, 1e6))
    refused(folder, InvalidField, "numbers too large for float16", dtype="float16")
