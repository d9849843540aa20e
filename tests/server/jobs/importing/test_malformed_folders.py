"""Hugging Face folders that lack a file, or hold a broken, hostile or foreign one."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

import factory
from llmosd.errors import (
    InsufficientDisk,
    InvalidModelFile,
    UnsafeFile,
)
from llmosd.jobs.importing import writer
from llmosd.jobs.importing.convert import import_model
from llmosd.jobs.messages import ImportSpec


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, refused, missing):
    (folder / missing).unlink()
    refused(folder, InvalidModelFile, missing if missing[0] != "m" else "no .safetensors file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "tokenizer.json cannot be built"),
        (b"\xff", "tokenizer.json cannot be built"),
        (b"[" * 2000, "tokenizer.json cannot be built"),
        (b'{"model": {"type": "Evil"}}', "tokenizer.json cannot be built"),
    ],
)
def test_a_broken_tokenizer(folder, refused, content, message):
    (folder / "tokenizer.json").write_bytes(content)
    refused(folder, InvalidModelFile, message)


def test_a_tokenizer_larger_than_the_model(tmp_path, refused):
    folder = factory.tiny_llama_folder(tmp_path / "hf")
    tokenizer = factory.tiny_tokenizer()
    tokenizer.add_tokens([f"<extra{n}>" for n in range(100)])
    tokenizer.save(str(folder / "tokenizer.json"))
    refused(folder, InvalidModelFile, "token 378 is outside the model's vocabulary of 304")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("generation_config.json", {"eos_token_id": "x"}, "eos_token_id is not a token id"),
        ("generation_config.json", {"eos_token_id": 9999}, "token 9999 is not in the vocabulary"),
        (
            "generation_config.json",
            {"do_sample": True, "temperature": -1},
            "temperature is -1.0; it must be from 0.0 to 10.0",
        ),
        ("generation_config.json", {"do_sample": True, "top_k": 1.5}, "top_k is not a whole"),
        ("model.safetensors.index.json", {"weight_map": []}, "weight_map is not a map"),
        (
            "model.safetensors.index.json",
            {"weight_map": {"a": "../../etc/passwd"}},
            "'../../etc/passwd' is not among the files",
        ),
        (
            "model.safetensors.index.json",
            {"weight_map": {"a": "config.json"}},
            "'config.json' is not among the files",
        ),
    ],
)
def test_bad_companions(folder, refused, name, content, message):
    (folder / name).write_text(json.dumps(content))
    refused(folder, InvalidModelFile, message)


@pytest.mark.parametrize(("size", "message"), [(300 << 10, "longer than 262144 characters")])
def test_a_template_that_is_too_long(folder, refused, size, message):
    (folder / "chat_template.jinja").write_text("x" * size)
    refused(folder, InvalidModelFile, message)


class Canary:
    """Runs a program when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def evil_numpy(canary):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Canary(canary)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def evil_torch(canary):
    buffer = io.BytesIO()
    torch.save({"w": Canary(canary)}, buffer)
    return buffer.getvalue()


def zip_bomb(canary):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(64 << 20))
    return buffer.getvalue()


def evil_pickle(canary):
    return pickle.dumps(Canary(canary))


@pytest.mark.parametrize("name", ["m.gguf", "model.safetensors", "pytorch_model.bin", "model.pt"])
@pytest.mark.parametrize("make", [evil_numpy, evil_torch, zip_bomb, evil_pickle])
@pytest.mark.parametrize("kind", ["gguf", "hugging_face"])
def test_foreign_formats_are_refused_unopened(folder, refused, make, name, kind):
    canary = folder.parent / "canary"
    (folder / name).write_bytes(make(canary))
    files = {name: str(folder / name)} if kind == "gguf" else factory.files_of(folder)
    refused(
        folder,
        InvalidModelFile,
        rf'unsupported format: "{name}" is .*; export it as safetensors or GGUF',
        files=files,
        format=kind,
    )
    assert not canary.exists()


@pytest.mark.parametrize("name", ["a.ckpt", "a.pkl", "a.joblib", "a.npy", "a.npz", "A.PTH", "x.py"])
def test_foreign_names_are_refused(folder, refused, name):
    (folder / name).write_bytes(b"harmless")
    refused(folder, InvalidModelFile, f'unsupported format: "{name}"')


def test_staged_files_that_are_links(folder, refused, tmp_path):
    (tmp_path / "secret").write_text("{}")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(tmp_path / "secret")
    refused(folder, UnsafeFile, r'"config.json" is a symbolic link')


def test_a_disk_too_small_is_said_before_a_byte_is_written(folder, refused, monkeypatch, tmp_path):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda path: usage)
    refused(folder, InsufficientDisk, "bytes of disk, and 1000 are free")
    assert list((tmp_path / "out").iterdir()) == []


def test_gguf_is_one_file(tmp_path):
    files = {"a.gguf": str(tmp_path / "a.gguf"), "b.gguf": str(tmp_path / "b.gguf")}
    for path in files.values():
        factory.write_gguf(path)
    with pytest.raises(InvalidModelFile, match="one file is needed, not 2"):
        import_model(ImportSpec(files=files, format="gguf", output=str(tmp_path)), factory.Silent())
