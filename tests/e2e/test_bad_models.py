"""Model files that are broken or hostile, each named for what is wrong with it (T41 to T45)."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from factory import gguf_key, gguf_string, write_gguf, write_safetensors
from llmos.v1 import model_service_pb2 as pb
from uploads import INVALID, failure

MIB = 1024 * 1024
ARRAY, STRING, U32 = 9, 8, 4

pytestmark = pytest.mark.usefixtures("unharmed", "nothing_kept")


def entry(begin=0, end=4, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


TENSORS = {
    "empty": b"",
    "seven bytes": bytes(7),
    "longer than the file": struct.pack("<Q", 100) + b"{}",
    "2^63": struct.pack("<Q", 1 << 63) + b"{}",
    "17 MB": struct.pack("<Q", 17 * MIB) + b"{" * 17 * MIB,
    "no JSON": ["{nope"],
    "no UTF-8": [b'{"\xff": 1}'],
    "half a character": ['{"\\ud800": {"dtype": "F32"}}'],
    "a list": ["[1]"],
    "deep": ['{"a":' * 2000 + "1" + "}" * 2000],
    "5,000 digits": ['{"a": ' + "9" * 5000 + "}"],
    "a path": [{"../../etc/x": entry()}, bytes(4)],
    "no shape": [{"a": {"dtype": "F32"}}],
    "unknown type": [{"a": entry(dtype="F33")}, bytes(4)],
    "negative": [{"a": entry(shape=[-1])}, bytes(4)],
    "past 2^63": [{"a": entry(shape=[1 << 40, 1 << 40])}, bytes(4)],
    "past the end": [{"a": entry(0, 4)}, bytes(2)],
    "a hole": [{"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)],
    "an overlap": [{"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)],
    "twice": [f'{{"a": {json.dumps(entry())}, "a": {json.dumps(entry())}}}', bytes(4)],
    "100,000 tensors": [{f"t{n}": entry(0, 0, [0]) for n in range(100_000)}],
}


def safetensors(parts, folder):
    if isinstance(parts, bytes):
        return parts
    return write_safetensors(folder / "x", *parts).read_bytes()


@pytest.mark.parametrize("parts", TENSORS.values(), ids=TENSORS)
def test_malformed_safetensors(daemon, good, tmp_path, parts):
    """T41, T42: INVALID_MODEL_FILE."""
    error = failure(daemon, good | {"model.safetensors": safetensors(parts, tmp_path)})
    assert error.label == INVALID


def test_weights_beyond_the_memory(daemon, good, tmp_path):
    """T43: RESOURCE_EXHAUSTED before they are looked for; the file itself is small."""
    shape, size = [1 << 20, 1 << 20], 1 << 42
    data = safetensors([{"lm_head.weight": entry(0, size, shape)}], tmp_path)
    error = failure(daemon, good | {"model.safetensors": data})
    assert error.label == "RESOURCE_EXHAUSTED/INSUFFICIENT_MEMORY"


def weights(good, folder, change):
    path = folder / "x"
    path.write_bytes(good["model.safetensors"])
    found = load_file(path)
    change(found)
    save_file(found, path)
    return good | {"model.safetensors": path.read_bytes()}


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("change", "label"),
    [
        (lambda w: w[NORM].fill(np.nan), "DATA_LOSS/DATA_CORRUPT"),
        (lambda w: w[NORM].fill(np.inf), "DATA_LOSS/DATA_CORRUPT"),
        (lambda w: w.pop(NORM), INVALID),
        (lambda w: w.update({"../../etc/x": np.zeros(1, np.float32)}), INVALID),
        (lambda w: w.update({NORM: np.zeros(63, np.float32)}), INVALID),
    ],
    ids=["NaN", "infinity", "missing", "a path", "shape"],
)
def test_weights_that_are_not_the_models(daemon, good, tmp_path, change, label):
    """T42: names and shapes are exactly the architecture's, and every number is one."""
    assert failure(daemon, weights(good, tmp_path, change)).label == label


def number(value):
    return struct.pack("<Q", value)


def array(kind, count):
    return struct.pack("<I", kind) + number(count)


GGUF = {
    "empty": b"",
    "magic": b"GGUF",
    "wrong magic": {"magic": b"GGML"},
    "version 99": {"version": 99},
    "2^60 keys": {"key_count": 1 << 60},
    "2^60 tensors": {"tensor_count": 1 << 60},
    "array of 2^60": {"metadata": [gguf_key("a", ARRAY, array(U32, 1 << 60))]},
    "array of 2^60 texts": {"metadata": [gguf_key("a", ARRAY, array(STRING, 1 << 60))]},
    "text of 2^63": {"metadata": [gguf_key("a", STRING, number(1 << 63))]},
    "key of 2^64 - 1": {"metadata": [number((1 << 64) - 1) + b"a" * 13]},
    "no UTF-8": {"metadata": [gguf_key("a", STRING, gguf_string(b"\xff\xfe"))]},
    "unknown type": {"metadata": [gguf_key("a", 99, number(0))]},
    "2,000 deep": {"metadata": [gguf_key("a", ARRAY, array(ARRAY, 1) * 2000)]},
    "alignment 0": {"metadata": [gguf_key("general.alignment", U32, struct.pack("<I", 0))]},
    "past the end": {"tensors": [("a", [1 << 20], 0, 0)], "data": bytes(64)},
    "past 2^64": {"tensors": [("a", [1 << 33, 1 << 33], 0, 0)], "data": bytes(64)},
    "ANSI": {"tensors": [("\x1b[31m\n", [32], 99, 0)], "data": bytes(256)},
}


@pytest.mark.parametrize("parts", GGUF.values(), ids=GGUF)
def test_malformed_gguf(daemon, tmp_path, parts):
    """T44: INVALID_MODEL_FILE; what counts to 2^60 does not hang."""
    data = parts if isinstance(parts, bytes) else write_gguf(tmp_path / "x", **parts).read_bytes()
    error = failure(daemon, {"m.gguf": data}, kind=pb.MODEL_FORMAT_GGUF)
    assert error.label == INVALID
    assert error.message.isprintable()


CONFIGS = {
    "10^9 layers": {"num_hidden_layers": 10**9},
    "10^9 tokens": {"vocab_size": 10**9},
    "no heads": {"num_attention_heads": 0},
    "negative heads": {"num_attention_heads": -4},
    "heads that do not divide": {"hidden_size": 65, "head_dim": None},
    "code of its own": {"auto_map": {"AutoModel": "evil.py"}},
    "unknown architecture": {"architectures": ["EvilForCausalLM"]},
    "quantized": {"quantization_config": {"quant_method": "gptq"}},
    "deep": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "100 MB": b'{"a": "' + b"x" * 100 * MIB + b'"}',
    "no UTF-8": b"\xff",
    "NaN": b'{"vocab_size": NaN}',
}


@pytest.mark.parametrize("change", CONFIGS.values(), ids=CONFIGS)
def test_configs(daemon, good, change):
    """T45: INVALID_MODEL_FILE; no code of a model is looked for."""
    data = change
    if isinstance(change, dict):
        data = json.dumps(json.loads(good["config.json"]) | change).encode()
    assert failure(daemon, good | {"config.json": data}).label == INVALID


def test_more_than_the_memory_by_its_config(daemon, good):
    """T43, T45: a config whose weights cannot fit is refused before they are read."""
    huge = {"hidden_size": 1 << 16, "intermediate_size": 1 << 18, "num_hidden_layers": 1000}
    data = json.dumps(json.loads(good["config.json"]) | huge).encode()
    error = failure(daemon, good | {"config.json": data})
    assert error.label in {INVALID, "RESOURCE_EXHAUSTED/INSUFFICIENT_MEMORY"}
