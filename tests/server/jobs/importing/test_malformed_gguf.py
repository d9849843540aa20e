"""Broken and hostile GGUF files: refused at once, by name, within little memory."""

import contextlib
import struct
import time
import tracemalloc

import pytest

import factory
from factory import gguf_key, gguf_string, write_gguf
from llmosd.errors import InsufficientMemory, InvalidModelFile
from llmosd.jobs.importing.convert import import_model
from llmosd.jobs.importing.gguf_reader import GgufFile
from llmosd.jobs.messages import ImportSpec

U32, BOOL, STRING, ARRAY = 4, 7, 8, 9


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def array(kind, count, data=b""):
    return u32(kind) + u64(count) + data


def nested(depth):
    return b"".join(array(ARRAY, 1) for _ in range(depth)) + array(U32, 1, u32(0))


ARCH = gguf_key("general.architecture", STRING, gguf_string("llama"))
ONE = [("a", [32], 0, 0)]

MALFORMED = {
    "empty file": ({"raw": b""}, "the file ends within its header"),
    "magic alone": ({"raw": b"GGUF"}, "the file ends within its header"),
    "wrong magic": ({"magic": b"GGML"}, 'does not start with "GGUF"'),
    "version 1": ({"version": 1}, "version 1 is not supported"),
    "version 4": ({"version": 4}, "version 4 is not supported"),
    "big-endian": ({"version": 0x03000000}, "big-endian"),
    "2^60 keys": ({"key_count": 1 << 60}, "metadata keys, more than"),
    "more keys than bytes": ({"key_count": 60_000}, "60000 metadata keys reach beyond the end"),
    "2^60 tensors": ({"tensor_count": 1 << 60}, "tensors, more than"),
    "tensors that are not there": ({"tensor_count": 50}, "50 tensors reach beyond the end"),
    "array of 2^60": (
        {"metadata": [gguf_key("a", ARRAY, array(U32, 1 << 60))]},
        "array items, more than",
    ),
    "array of 2^60 strings": (
        {"metadata": [gguf_key("a", ARRAY, array(STRING, 1 << 60))]},
        "strings, more than",
    ),
    "array longer than the file": (
        {"metadata": [gguf_key("a", ARRAY, array(U32, 1000))]},
        "1000 array items reach beyond the end",
    ),
    "string of 2^63": ({"metadata": [gguf_key("a", STRING, u64(1 << 63))]}, "a string of"),
    "string longer than the file": (
        {"metadata": [gguf_key("a", STRING, u64(1000))]},
        "ends within its header",
    ),
    "key of 2^64 - 1": ({"metadata": [u64((1 << 64) - 1) + b"a" * 13]}, "a string of"),
    "string that is not UTF-8": (
        {"metadata": [gguf_key("a", STRING, gguf_string(b"\xff\xfe"))]},
        "not UTF-8",
    ),
    "unknown type": ({"metadata": [gguf_key("a", 99, u64(0))]}, "unknown metadata type 99"),
    "unknown item type": (
        {"metadata": [gguf_key("a", ARRAY, array(99, 1, u64(0)))]},
        "unknown metadata type 99",
    ),
    "arrays 2,000 deep": (
        {"metadata": [gguf_key("a", ARRAY, nested(2000))]},
        "nested too deeply",
    ),
    "doubled key": (
        {"metadata": [gguf_key("a", U32, u32(1)), gguf_key("a", U32, u32(2))]},
        "key 'a' comes twice",
    ),
    "doubled tensor": (
        {"tensors": [("a", [32], 0, 0), ("a", [32], 0, 128)], "data": bytes(256)},
        "tensor 'a' comes twice",
    ),
    "overlapping tensors": (
        {"tensors": [("a", [64], 0, 0), ("b", [64], 0, 128)], "data": bytes(512)},
        "tensor 'b' overlaps",
    ),
    "no dimensions": ({"tensors": [("a", [], 0, 0)], "data": bytes(64)}, "has 0 dimensions"),
    "five dimensions": ({"tensors": [("a", [1] * 5, 0, 0)], "data": bytes(64)}, "5 dimensions"),
    "2^32 - 1 dimensions": (
        {"raw": b"GGUF" + u32(3) + u64(1) + u64(0) + gguf_string("a") + u32(2**32 - 1) + u64(0)},
        "4294967295 dimensions",
    ),
    "a dimension of 0": ({"tensors": [("a", [0], 0, 0)], "data": bytes(64)}, "impossible shape"),
    "a size past 2^64": (
        {"tensors": [("a", [1 << 33, 1 << 33], 0, 0)], "data": bytes(64)},
        "impossible shape",
    ),
    "tensor past the end": (
        {"tensors": [("a", [1 << 20], 0, 0)], "data": bytes(64)},
        "beyond the end of the file",
    ),
    "offset past the end": (
        {"tensors": [("a", [32], 0, 1 << 62)], "data": bytes(64)},
        "beyond the end of the file",
    ),
    "offset off its alignment": (
        {"tensors": [("a", [32], 0, 4)], "data": bytes(256)},
        "not aligned to 32",
    ),
    "unknown tensor type": (
        {"tensors": [("a", [32], 31, 0)], "data": bytes(256)},
        "type 31; supported are F32",
    ),
    "rows that are no whole blocks": (
        {"tensors": [("a", [33], 8, 0)], "data": bytes(256)},
        "do not divide into Q8_0 blocks",
    ),
    "tensor name too long": (
        {"tensors": [("a" * 200, [32], 0, 0)], "data": bytes(256)},
        "has 200 characters",
    ),
    "tensor without a name": ({"tensors": [("", [32], 0, 0)], "data": bytes(256)}, "0 characters"),
    "alignment 0": (
        {"metadata": [gguf_key("general.alignment", U32, u32(0))]},
        "general.alignment is 0",
    ),
    "alignment 33": (
        {"metadata": [gguf_key("general.alignment", U32, u32(33))]},
        "general.alignment is 33, not a power of two",
    ),
    "alignment of a text": (
        {"metadata": [gguf_key("general.alignment", STRING, gguf_string("32"))]},
        "general.alignment is '32'",
    ),
    "ANSI escape in a name": (
        {"tensors": [("\x1b[31m\n", [32], 99, 0)], "data": bytes(256)},
        r"'\\x1b\[31m\\n' has type 99",
    ),
}


@pytest.mark.parametrize(("parts", "message"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_structure_is_refused_at_once(tmp_path, parts, message):
    path = tmp_path / "m.gguf"
    if "raw" in parts:
        path.write_bytes(parts["raw"])
    else:
        write_gguf(path, **({"metadata": [ARCH]} | parts))
    start = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidModelFile, match=message):
            GgufFile(str(path))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 1.0


def test_array_items_are_counted_over_the_whole_file(tmp_path):
    big = array(BOOL, 4 * 1024 * 1024, bytes(4 * 1024 * 1024))
    entries = [gguf_key(f"k{n}", ARRAY, big) for n in range(3)]
    with pytest.raises(InvalidModelFile, match="the metadata holds more than 8388608"):
        GgufFile(str(write_gguf(tmp_path / "m.gguf", metadata=entries)))


def test_version_2_and_empty_arrays_and_all_scalar_types_are_read(tmp_path):
    scalars = {
        0: struct.pack("<B", 200),
        1: struct.pack("<b", -5),
        2: struct.pack("<H", 60000),
        3: struct.pack("<h", -300),
        4: u32(2**32 - 1),
        5: struct.pack("<i", -7),
        6: struct.pack("<f", 0.5),
        7: b"\1",
        10: u64(2**64 - 1),
        11: struct.pack("<q", -(2**63)),
        12: struct.pack("<d", 0.1),
    }
    entries = [gguf_key(f"k{kind}", kind, data) for kind, data in scalars.items()]
    entries += [gguf_key(f"a{kind}", ARRAY, array(kind, 1, d)) for kind, d in scalars.items()]
    entries.append(gguf_key("none", ARRAY, array(U32, 0)))
    entries.append(gguf_key("pairs", ARRAY, array(ARRAY, 1, array(U32, 2, u32(1) + u32(2)))))
    path = write_gguf(
        tmp_path / "m", version=2, metadata=entries, tensors=ONE, data=bytes(range(128))
    )
    values = [200, -5, 60000, -300, 2**32 - 1, -7, 0.5, True, 2**64 - 1, -(2**63), 0.1]
    with GgufFile(str(path)) as file:
        assert [file.metadata[f"k{kind}"] for kind in scalars] == values
        assert [file.metadata[f"a{kind}"] for kind in scalars] == [[value] for value in values]
        assert (file.metadata["none"], file.metadata["pairs"]) == ([], [[1, 2]])
        assert file.read(file.tensors["a"], 4, 4) == bytes([4, 5, 6, 7])


def test_every_cut_of_a_real_file_is_refused(tmp_path):
    whole = factory.tiny_gguf(tmp_path / "w.gguf", factory.tiny_llama_folder(tmp_path / "hf"))
    data = whole.read_bytes()
    path = tmp_path / "cut.gguf"
    for size in range(0, len(data) - 1, len(data) // 200):
        path.write_bytes(data[:size])
        with pytest.raises(InvalidModelFile, match="GGUF: "):
            GgufFile(str(path))


def test_flipped_bytes_never_do_worse_than_an_error_of_ours(tmp_path):
    import random

    folder = factory.tiny_llama_folder(tmp_path / "hf")
    data = bytearray(factory.tiny_gguf(tmp_path / "w.gguf", folder).read_bytes())
    rng = random.Random(1)
    path, output = tmp_path / "f.gguf", tmp_path / "out"
    for attempt in range(150):
        broken = bytearray(data)
        for _ in range(3):
            # Within the header, whose end is where the weights begin.
            broken[rng.randrange(12000)] = rng.randrange(256)
        path.write_bytes(broken)
        (output / str(attempt)).mkdir(parents=True)
        spec = ImportSpec(
            files={"f.gguf": str(path)}, format="gguf", output=str(output / str(attempt))
        )
        start = time.monotonic()
        with contextlib.suppress(InvalidModelFile, InsufficientMemory):
            import_model(spec, factory.Silent())
        assert time.monotonic() - start < 1.0


def renamed(path, old, new):
    """The file with one metadata key or name replaced by another of the same length."""
    data = path.read_bytes()
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"llama.block_count", b"llama.block_kount", "llama.block_count is missing"),
        (b"llama.embedding_length", b"llama.embedding_lengtx", "embedding_length is missing"),
        (b"blk.1.ffn_up.weight", b"blk.1.ffn_ux.weight", "blk.1.ffn_up.weight is missing"),
        (b"blk.1.ffn_up.weight", b"blk.9.ffn_up.weight", "blk.1.ffn_up.weight is missing"),
        (b"token_embd.weight", b"token_embx.weight", "token_embd.weight is missing"),
        (b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0bloom", "architecture 'bloom' is not"),
        (b"\x05\0\0\0\0\0\0\0gpt-2", b"\x05\0\0\0\0\0\0\0gpt-9", "pre-tokenizer 'gpt-9' is not"),
        (b"\x04\0\0\0\0\0\0\0gpt2", b"\x04\0\0\0\0\0\0\0bert", "tokenizer 'bert' is not"),
        (b"tokenizer.ggml.tokens", b"tokenizer.ggml.tokenz", "0 tokens, but the embedding has"),
        ("\u0120 t".encode(), "\u0120_t".encode(), "merges is not a pair"),
        (b"<|im_end|>", b"<|im_enx|>", None),
    ],
)
def test_a_model_that_does_not_fit_itself_is_refused(tmp_path, old, new, message):
    folder = factory.tiny_llama_folder(tmp_path / "hf")
    path = renamed(factory.tiny_gguf(tmp_path / "m.gguf", folder), old, new)
    (tmp_path / "out").mkdir()
    spec = ImportSpec(files={"m": str(path)}, format="gguf", output=str(tmp_path / "out"))
    if message is None:
        import_model(spec, factory.Silent())
        return
    with pytest.raises(InvalidModelFile, match=message):
        import_model(spec, factory.Silent())
    assert list((tmp_path / "out").iterdir()) == []


def test_an_unexpected_tensor_is_named(tmp_path):
    import numpy as np

    folder = factory.tiny_llama_folder(tmp_path / "hf")
    extra = {"blk.0.attn_q.lora": np.zeros(32, np.float32)}
    path = factory.tiny_gguf(tmp_path / "m.gguf", folder, extra=extra)
    spec = ImportSpec(files={"m": str(path)}, format="gguf", output=str(tmp_path))
    with pytest.raises(InvalidModelFile, match=r"unexpected tensor 'blk.0.attn_q.lora'"):
        import_model(spec, factory.Silent())


def test_rope_factors_of_another_kind_are_refused(tmp_path):
    import numpy as np

    folder = factory.tiny_llama_folder(tmp_path / "hf")
    extra = {"rope_freqs.weight": np.linspace(1, 3, 8, dtype=np.float32)}
    path = factory.tiny_gguf(tmp_path / "m.gguf", folder, extra=extra)
    spec = ImportSpec(files={"m": str(path)}, format="gguf", output=str(tmp_path))
    with pytest.raises(InvalidModelFile, match="not Llama 3's rotary scaling"):
        import_model(spec, factory.Silent())
