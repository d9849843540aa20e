"""Exports through a real daemon: what comes is whole, or it is not there.

LLMOS_EXPORT=1 exports SmolLM2 as well; `make acceptance` does.
"""

import asyncio
import json
import os

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from daemon import wait_for
from llmos.v1 import model_service_pb2 as pb
from llmos_client import (
    AsyncClient,
    DataCorruptError,
    InvalidFieldError,
    ModelNotFoundError,
    OperationProgress,
)
from llmos_client.download import Download

PROMPT = [5, 17, 200, 33, 8, 91]


@pytest.fixture(scope="module")
def model(daemon, tiny_folders):
    daemon.install("tiny-export", tiny_folders["tiny-qwen2"])
    yield "tiny-export"
    with daemon.client() as client:
        client.delete_model("tiny-export", force=True)


def staging(daemon):
    return list((daemon.folder / "state" / "models" / ".staging").iterdir())


@pytest.mark.parametrize("target", ["folder", "file.gguf"])
def test_there_and_back(daemon, client, model, tmp_path, target):
    """What the copy of the copy says is what the model says; nothing is left on the way."""
    stages = []

    def progress(at: OperationProgress):
        stages.append(at.stage)

    done = client.export_model(model, tmp_path / target, on_progress=progress)
    assert done.path == tmp_path / target
    assert (done.model_version, done.license) == ("models/tiny-export/versions/1", "Apache-2.0")
    assert [path.name for path in tmp_path.iterdir()] == [target]
    assert stages[0] == "read"
    assert stages[-1] == "download"
    assert staging(daemon) == []
    daemon.install("copy", done.path)
    options = {"tokens": PROMPT, "temperature": 0.0, "max_tokens": 16, "logprobs": 1}
    options["ignore_eos"] = True  # GGUF files have more tokens that end an answer
    said = []
    for name in (model, "copy"):
        daemon.load(name)
        answer = client.generate(name, **options).choices[0]
        said.append([(token.id, token.logprob) for token in answer.tokens])
    client.delete_model("copy", force=True)
    assert said[0] == said[1]


def test_async(daemon, model, tmp_path):
    async def run():
        async with AsyncClient(daemon.address) as client:
            return await client.export_model(model, tmp_path / "folder", dtype="bfloat16")

    done = asyncio.run(run())
    files = {file.name: file.byte_size for file in done.files}
    assert files == {path.name: path.stat().st_size for path in done.path.iterdir()}
    config = json.loads((done.path / "config.json").read_text())
    assert config["dtype"] == "bfloat16"


def test_refused(client, model, tmp_path):
    """Nothing is made where nothing can be written, and nothing is written over."""
    with pytest.raises(ModelNotFoundError):
        client.export_model("no-such", tmp_path / "x")
    with pytest.raises(InvalidFieldError, match=r"dtype.*GGUF"):
        client.export_model(model, tmp_path / "x", dtype="q8_0")
    with pytest.raises(ValueError, match="is not one of"):
        client.export_model(model, tmp_path / "x", dtype="int3")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(InvalidFieldError, match="is there already"):
        client.export_model(model, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


def test_a_broken_off_export_leaves_nothing(daemon, client, model, tmp_path):
    """Whatever ends it, at either side."""

    def stop(at: OperationProgress):
        if at.stage == "download":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.export_model(model, tmp_path / "x", on_progress=stop)
    assert list(tmp_path.iterdir()) == []
    wait_for(lambda: staging(daemon) == [], 20)


def test_a_wrong_byte_is_seen(tmp_path):
    """A chunk that is not what the header's digest says; and one too few, too many, out of turn."""
    name = "model.safetensors"
    digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of abc

    def run(*chunks, names=(name,)):
        download = Download(tmp_path / "x")
        try:
            files = [pb.UploadFile(name=each, byte_size=3, digest=digest) for each in names]
            header = pb.ExportModelHeader(files=files, format=pb.MODEL_FORMAT_HUGGING_FACE)
            download.take(pb.ExportModelResponse(header=header))
            for file, data in chunks:
                chunk = pb.ExportModelChunk(file=file, data=data)
                download.take(pb.ExportModelResponse(chunk=chunk))
            return download.finish()
        finally:
            download.discard()

    for chunks in ([(0, b"abd")], [(0, b"ab")], [(0, b"abcd")], [(1, b"abc")], []):
        with pytest.raises(DataCorruptError):
            run(*chunks)
    for names in (["../x"], ["a", "a"], [], [".hidden"]):
        with pytest.raises(DataCorruptError):
            run(names=names)
    assert list(tmp_path.iterdir()) == []
    run((0, b"a"), (0, b"bc"))  # the control
    assert (tmp_path / "x" / name).read_bytes() == b"abc"


def test_command(daemon, model, tmp_path, capsys):
    from llmos_client.cli.main import run

    words = ["export", model, "--to", str(tmp_path / "m.gguf"), "--dtype", "q8_0"]
    assert run([*words, "--address", daemon.address, "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)["export"]
    assert shown["path"] == str(tmp_path / "m.gguf")
    tensors = gguf.GGUFReader(tmp_path / "m.gguf").tensors
    kinds = {tensor.tensor_type.name for tensor in tensors}
    assert kinds == {"F32", "Q8_0"}


@pytest.mark.skipif("LLMOS_EXPORT" not in os.environ, reason="half a minute, and gigabytes")
@torch.inference_mode()
def test_smollm2(daemon, client, smollm2_gguf, smollm2_reference, tmp_path):
    """transformers reads SmolLM2's export; gguf the other one, and so do we again."""
    folder = client.export_model("smollm2", tmp_path / "hub").path
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": "Name three rivers."}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert prompt == client.render_chat("smollm2", turns).text
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
    difference = (network(ids).logits - smollm2_reference(ids).logits).abs().max().item()
    greedy = network.generate(ids, max_new_tokens=32, do_sample=False)[0, ids.shape[1] :].tolist()
    said = client.generate(
        "smollm2", messages=turns, temperature=0.0, max_tokens=32, return_tokens=True
    )
    tokens = [token.id for token in said.choices[0].tokens]
    assert greedy[: len(tokens)] == tokens
    assert difference < 1e-3

    file = client.export_model("smollm2", tmp_path / "smollm2.gguf").path
    ours = {each.name: each for each in gguf.GGUFReader(file).tensors}
    theirs = gguf.GGUFReader(smollm2_gguf).tensors
    assert set(ours) == {each.name for each in theirs}
    for each in theirs:
        wide = gguf.dequantize(each.data, each.tensor_type)
        assert (wide == ours[each.name].data.reshape(wide.shape)).all(), each.name
    daemon.install("copy", file)
    first, copy = (client.get_version(name) for name in ("smollm2", "copy"))
    same = ("architecture", "parameter_count", "context_length", "vocabulary_size", "chat", "dtype")
    assert [getattr(first, name) for name in same] == [getattr(copy, name) for name in same]
    store = daemon.folder / "state" / "models"
    for name in ("config.json", "model.safetensors", "generation.json", "tokenizer.json"):
        one, two = (store / model / "1" / name for model in ("smollm2", "copy"))
        assert one.read_bytes() == two.read_bytes(), name
    client.delete_model("copy")
    print(f"SmolLM2's export: largest difference of a logit {difference:.1e}; GGUF the same bytes")
