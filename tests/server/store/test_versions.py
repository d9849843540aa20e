import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from llmosd.architectures.config import ModelConfig
from llmosd.errors import DataCorrupt, UnsafeFile
from llmosd.store.manifest import FileEntry, GenerationDefaults, Manifest, encode_json
from llmosd.store.versions import VersionStore

CONFIG = ModelConfig(
    architecture="llama",
    family="llama",
    vocab_size=10,
    hidden_size=4,
    intermediate_size=8,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=2,
    context_length=16,
    norm_eps=1e-5,
)


def fill(folder, **files):
    contents = {
        "config.json": encode_json(CONFIG),
        "generation.json": encode_json(GenerationDefaults(eos_token_ids=[2], top_k=5)),
        "model.safetensors": b"weights",
        **files,
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    manifest = Manifest(
        architecture="llama",
        family="llama",
        parameter_count=1,
        context_length=16,
        vocabulary_size=10,
        dtype="float32",
        create_time=datetime.now(UTC),
        files={
            name: FileEntry(len(data), hashlib.sha256(data).hexdigest())
            for name, data in contents.items()
        },
    )
    (folder / "manifest.json").write_bytes(encode_json(manifest))
    return manifest


@pytest.fixture
def store(tmp_path):
    return VersionStore(tmp_path)


@pytest.fixture
def published(store):
    staging = store.stage()
    fill(staging.version, **{"chat_template.jinja": b"{{ x }}"})
    (staging.incoming / "upload.gguf").write_bytes(b"x" * 100)
    return store.publish("m", 1, staging)


def tree(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_publish_moves_the_version_and_removes_the_rest(store, published, tmp_path):
    assert published == tmp_path / "models" / "m" / "1" == store.path("m", 1)
    assert "upload.gguf" not in str(tree(tmp_path))
    assert list((tmp_path / "models" / ".staging").iterdir()) == []
    assert store.config("m", 1, ModelConfig) == CONFIG
    assert store.generation_defaults("m", 1).eos_token_ids == [2]
    assert store.chat_template("m", 1) == "{{ x }}"
    assert store.byte_size("m", 1) == sum(p.stat().st_size for p in published.iterdir())
    with os.fdopen(store.open_file("m", 1, "model.safetensors"), "rb") as file:
        assert file.read() == b"weights"


def test_publish_is_one_rename_between_syncs(store, tmp_path, monkeypatch):
    staging = store.stage()
    fill(staging.version)
    seen = []
    fsync = os.fsync

    def watch(fd):
        seen.append((str(Path(f"/proc/self/fd/{fd}").readlink()), store.path("m", 1).exists()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watch)
    store.publish("m", 1, staging)
    models = tmp_path / "models"
    assert seen == [(str(staging.version), False), (str(models / "m"), True), (str(models), True)]


def test_a_version_is_never_overwritten(store, published):
    before = (published / "manifest.json").read_bytes()
    staging = store.stage()
    fill(staging.version)
    with pytest.raises(OSError, match="not empty"):
        store.publish("m", 1, staging)
    assert (published / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), DataCorrupt, "no manifest"),
        (lambda f: (f / "manifest.json").write_bytes(b"{}"), DataCorrupt, "manifest.json"),
        (lambda f: (f / "extra").write_bytes(b""), DataCorrupt, "not those of its manifest"),
        (lambda f: (f / "config.json").unlink(), DataCorrupt, "not those of its manifest"),
        (lambda f: (f / "config.json").write_bytes(b""), DataCorrupt, 'file "config.json" has not'),
        (
            lambda f: ((f / "config.json").unlink(), (f / "config.json").symlink_to("/etc/passwd")),
            UnsafeFile,
            '"config.json"',
        ),
    ],
)
def test_what_is_incomplete_is_not_published(store, spoil, error, message):
    staging = store.stage()
    fill(staging.version)
    spoil(staging.version)
    with pytest.raises(error, match=message):
        store.publish("m", 1, staging)
    assert not store.path("m", 1).exists()


def test_files_swapped_for_links_are_not_read(store, published, tmp_path):
    (tmp_path / "secret").write_bytes(b"{}")
    (published / "config.json").unlink()
    (published / "config.json").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeFile, match=r'"config.json" is a symbolic link'):
        store.config("m", 1, ModelConfig)
    (tmp_path / "models" / "l").symlink_to(tmp_path / "models" / "m")
    with pytest.raises(UnsafeFile, match='"l"'):
        store.manifest("l", 1)


def test_damaged_files_are_said_to_be_damaged(store, published):
    (published / "config.json").write_bytes(b'{"architecture": 1}')
    with pytest.raises(DataCorrupt, match=r'"config.json" of the model is damaged'):
        store.config("m", 1, ModelConfig)
    (published / "generation.json").unlink()
    with pytest.raises(DataCorrupt, match=r'"generation.json" of the model is missing'):
        store.generation_defaults("m", 1)
    newer = msgspec.json.decode((published / "manifest.json").read_bytes()) | {"format": 2}
    (published / "manifest.json").write_bytes(msgspec.json.encode(newer))
    with pytest.raises(DataCorrupt, match="format 2"):
        store.manifest("m", 1)


def test_delete_removes_the_version_and_then_the_model(store, published, tmp_path):
    staging = store.stage()
    fill(staging.version)
    store.publish("m", 2, staging)
    store.delete("m", 1)
    assert [p.name for p in (tmp_path / "models" / "m").iterdir()] == ["2"]
    store.delete("m", 2)
    store.delete("m", 2)
    assert tree(tmp_path) == ["models", "models/.staging"]


def test_clean_removes_what_a_crash_left(store, published, tmp_path):
    staging = store.stage()
    fill(staging.version)
    orphan = store.stage()
    fill(orphan.version)
    store.publish("n", 1, orphan)
    again = VersionStore(tmp_path)
    assert again.clean({("m", 1)}) == ["n/1"]
    assert again.clean({("m", 1)}) == []
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == [".staging", "m"]
    assert list((tmp_path / "models" / ".staging").iterdir()) == []
    assert again.manifest("m", 1).family == "llama"


def test_links_out_of_the_store_are_never_followed_to_change_anything(store, tmp_path):
    outside = tmp_path / "outside"
    (outside / "1").mkdir(parents=True)
    (outside / "1" / "precious").write_bytes(b"x")
    (tmp_path / "models" / "l").symlink_to(outside)
    (tmp_path / "models" / "m").mkdir()
    (tmp_path / "models" / "m" / "1").symlink_to(outside / "1")
    assert store.clean(set()) == []
    staging = store.stage()
    fill(staging.version)
    for model_id in ("l", "m"):
        with pytest.raises(UnsafeFile, match=f'folder of model "{model_id}" is a symbolic link'):
            store.delete(model_id, 1)
        with pytest.raises(UnsafeFile, match="symbolic link"):
            store.publish(model_id, 1, staging)
    assert (outside / "1" / "precious").read_bytes() == b"x"
