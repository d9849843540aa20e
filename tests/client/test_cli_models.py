"""The commands about models, in text and JSON, against the fake daemon."""

import io

from fake_status import make_status


def test_list(cli, daemon):
    ran = cli("list")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "NAME     LIVE  ARCHITECTURE  PARAMETERS  SIZE    STATE     LICENSE",
        "smollm2  1     llama         135 M       538 MB  unloaded  Apache-2.0",
    ]
    assert cli("list", "-o", "json").json["models"][0]["name"] == "models/smollm2"
    daemon.versions.clear()
    ran = cli("list")
    assert (ran.code, ran.out) == (0, "")
    assert "llmos pull" in ran.err
    assert cli("-o", "json", "list").json == {"models": []}


def test_show(cli, daemon):
    daemon.install("smollm2", number=2)
    ran = cli("show", "smollm2")
    assert "models/smollm2/versions/1" in ran.out
    assert "aliases       live" in ran.out
    assert "134,515,008" in ran.out
    assert cli("show", "smollm2/versions/1").out.count("digest") == 1
    shown = cli("show", "smollm2@live", "-o", "json").json
    assert shown["version"]["name"] == "models/smollm2/versions/2"
    assert len(cli("show", "smollm2", "-o", "json").json["versions"]) == 2


def test_rm(cli, daemon):
    daemon.install("smollm2", number=2)
    assert cli("rm", "smollm2/versions/2").out == "removed smollm2/versions/2\n"
    assert cli("rm", "-f", "smollm2", "-o", "json").json == {"removed": "smollm2"}
    assert daemon.seen("DeleteModel")[0].force
    assert daemon.versions == {}


def test_load_and_ps_and_unload(cli, daemon):
    assert "Nothing is loaded" in cli("ps").err
    ran = cli("load", "smollm2", "--keep-alive", "10m", "--dtype", "bfloat16")
    assert ran.out.startswith("loaded models/smollm2/versions/1 in ")
    assert "resident 90.0 MB -> 700 MB" in ran.out
    assert ran.err == "convert 2 tensors\n"
    request = daemon.seen("LoadModel")[0]
    assert (request.keep_alive.seconds, request.dtype) == (600, 2)
    ran = cli("ps")
    header, row = ran.out.splitlines()
    names = "NAME VERSION STATE PID RUNNER DTYPE SIZE KV RUNNING WAITING UNTIL"
    assert header.split() == names.split()
    assert "smollm2  1        loaded  4242  torch-cpu  float32  610 MB  25%" in row
    assert row.endswith("never")
    assert cli("ps", "-o", "json").json["versions"][0]["residency"]["pid"] == 4242
    ran = cli("unload", "-f", "smollm2")
    wanted = "resident 90.0 MB before loading, 700 MB loaded, 91.0 MB now"
    assert wanted in ran.out
    assert daemon.seen("UnloadModel")[0].force
    assert cli("unload", "smollm2", "-o", "json").json["unload"]["resident_bytes_after"] == 91e6


def test_load_never_estimate_and_bad_durations(cli, daemon):
    assert cli("load", "smollm2", "--estimate").out.endswith("would take up to 600 MB\n")
    assert daemon.seen("LoadModel")[0].validate_only
    cli("load", "smollm2", "--keep-alive", "never")
    assert daemon.seen("LoadModel")[1].keep_alive.seconds == -1
    loaded = cli("load", "smollm2", "-o", "json")
    assert loaded.json["load"]["resident_bytes_loaded"] == 700_000_000
    assert loaded.err == ""
    ran = cli("load", "smollm2", "--keep-alive", "soon")
    assert ran.code == 2
    assert "as 90s, 10m, 2h, or never" in ran.err


def test_until_counts_down(cli, daemon):
    import time

    cli("load", "smollm2")
    (version,) = daemon.versions.values()
    version.residency.expire_time.FromSeconds(int(time.time()) + 3661)
    assert cli("ps").out.rstrip().endswith(("1h1m", "1h0m"))


def test_tokenize(cli):
    ran = cli("tokenize", "smollm2", "aö")
    assert [line.split() for line in ran.out.splitlines()] == [
        ["ID", "KIND", "BYTES"],
        ["97", "a"],
        ["195", "\\xc3"],
        ["182", "\\xb6"],
    ]
    assert cli("tokenize", "smollm2", "ab", "--ids").out == "97 98\n"
    tokens = cli("tokenize", "smollm2", "a", "-o", "json").json
    assert tokens == {"count": 1, "tokens": [{"id": 97, "bytes": [97], "special": False}]}


def test_status_and_version(cli, daemon):
    out = cli("status").out
    assert "health         serving" in out
    assert "uptime         1h2m" in out
    assert daemon.address in out
    status = cli("status", "-o", "json").json
    assert status["server"]["pid"] == 4241
    assert cli("version").out.splitlines()[1] == f"llmosd 0.1.0 at {daemon.address}"
    assert cli("version", "-o", "json").json["daemon"] == "0.1.0"


def test_import_gguf(cli, daemon, tmp_path):
    file = tmp_path / "My Model.Q4_1.GGUF"
    file.write_bytes(b"GGUF" + bytes(2_000_000))
    ran = cli("import", file, "--license", "MIT", "--dtype", "float16")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("installed models/my-model.q4_1/versions/1: 538 MB")
    assert ran.err.splitlines() == ["hash 2.0 MB", "upload 2.0 MB", "convert 2 tensors"]
    ((header, contents),) = daemon.uploads
    assert contents == [file.read_bytes()]
    assert (header.license, header.dtype, header.format) == ("MIT", 2, 1)
    assert header.source.startswith("file:My Model.Q4_1.GGUF#sha256:")
    assert str(tmp_path) not in header.source


def test_import_folder(cli, daemon, tmp_path):
    folder = tmp_path / "Tiny"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "README.md", "x.py"):
        (folder / name).write_text(name)
    (folder / "generation_config.json").symlink_to("config.json")
    ran = cli("import", folder, "--name", "other", "-o", "json")
    assert ran.json["version"]["name"] == "models/other/versions/1"
    assert ran.json["installed"]
    header = daemon.uploads[0][0]
    assert [f.name for f in header.files] == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert header.format == 2


def test_import_refuses_with_a_reason(cli, daemon, tmp_path):
    import os

    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").touch()
    assert "has no .safetensors" in cli("import", folder).err
    (folder / "pytorch_model.bin").touch()
    assert "is a pickle" in cli("import", folder).err
    assert "is a pickle" in cli("import", folder / "pytorch_model.bin").err
    (folder / "a.txt").write_text("hello")
    assert "is not a GGUF file" in cli("import", folder / "a.txt").err
    os.mkfifo(folder / "model.safetensors")
    assert "not a plain file" in cli("import", folder).err
    os.mkfifo(folder / "pipe.gguf")
    assert "not a plain file" in cli("import", folder / "pipe.gguf").err
    ran = cli("import", tmp_path / "none.gguf")
    assert (ran.code, "No such file" in ran.err) == (1, True)
    good = tmp_path / "a.gguf"
    good.write_bytes(b"GGUF")
    assert "cannot name a model" in cli("import", good, "--name", "Bad Name").err
    assert daemon.uploads == []


def test_import_shows_what_the_conversion_said(cli, daemon, tmp_path):
    good = tmp_path / "a.gguf"
    good.write_bytes(b"GGUF")
    daemon.fail["UploadModel"] = make_status(
        "RESOURCE_EXHAUSTED",
        "no room",
        "INSUFFICIENT_DISK",
        metadata={"needed_bytes": "2000000", "available_bytes": "1000000"},
    )
    ran = cli("import", good)
    assert ran.code == 1
    assert "Needed 2.0 MB, available 1.0 MB." in ran.err


def test_nothing_that_is_redirected_has_escapes(cli, tmp_path):
    good = tmp_path / "a.gguf"
    good.write_bytes(b"GGUF")
    for arguments in (["import", good], ["load", "a"], ["ps"], ["list"], ["show", "a"]):
        ran = cli(*arguments)
        assert "\x1b" not in ran.out + ran.err


def test_a_terminal_gets_a_bar(cli, tmp_path, monkeypatch):
    import sys

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    good = tmp_path / "a.gguf"
    good.write_bytes(b"GGUF" * 1_000_000)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert cli("import", good).code == 0
    assert "━" in terminal.getvalue()
    assert "upload" in terminal.getvalue()
