"""EmbedText against transformers, in pieces and in company; neighbours in a dataset."""

import json
import math
import subprocess
import sys

import pytest
import torch
import transformers

from daemon import DaemonProcess
from llmos_client import (
    AsyncClient,
    ContextLengthExceededError,
    InvalidFieldError,
)
from llmos_client.neighbours import nearest, text_of

WORDS = [
    "the",
    "soup",
    "was",
    "fine",
    "but",
    "hotel",
    "rooms",
    "were",
    "cold",
    "and",
    "every",
    "phone",
    "broke",
    "again",
    "today",
]
TEXTS = [[(7 * at + i * i) % 250 for i in range(length)] for at, length in enumerate((150, 1, 90))]
POOLINGS = {"mean": lambda h: h.mean(0), "last": lambda h: h[-1], "first": lambda h: h[0]}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_folders):
    """Steps of 32 tokens: longer texts are read in pieces."""
    folder = tmp_path_factory.mktemp("embed")
    process = DaemonProcess(folder, keep_alive_seconds=-1, step_tokens=32, max_sequences=4)
    rows = [{"text": " ".join(WORDS[at:] + WORDS[:at]), "label": "ab"[at % 2]} for at in range(14)]
    file = process.folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with process.client() as client:
        client.wait_operation(client.upload_dataset("rows", [file], kind="labelled")).result()
    for name, folder in tiny_folders.items():
        process.install(name, folder)
    yield process
    process.stop()


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-mistral", "tiny-qwen3", "tiny-gpt2"])
@torch.inference_mode()
def test_equals_transformers(daemon, tiny_folders, name):
    """Every pooling, several texts at once and in pieces; 1e-4 in float32."""
    model = transformers.AutoModel.from_pretrained(tiny_folders[name], dtype=torch.float32).eval()
    daemon.load(name)
    hidden = [model(torch.tensor([text])).last_hidden_state[0] for text in TEXTS]
    with daemon.client() as client:
        for pooling, pooled in POOLINGS.items():
            found = client.embed(name, TEXTS * 2, pooling=pooling)
            assert found.pooling == pooling
            assert [each.tokens for each in found.vectors] == [150, 1, 90] * 2
            for each, states in zip(found.vectors, hidden * 2, strict=True):
                assert each.values == pytest.approx(pooled(states).tolist(), abs=1e-4)
            alone = [client.embed(name, [text], pooling=pooling).vectors[0] for text in TEXTS]
            assert list(found.vectors) == alone * 2
        assert client.embed(name, TEXTS[:1]).pooling == "last"
    assert daemon.residency(name).kv_blocks_used == 0


async def test_text_is_encoded_and_normalized(daemon):
    """A text is its tokens; 1 long where that is asked for; the async client says the same."""
    daemon.load("tiny-llama")
    with daemon.client() as client:
        ids = [token.id for token in client.tokenize("tiny-llama", "the inn", add_special=True)]
        plain, unit = (client.embed("tiny-llama", ["the inn", ids], normalize=n) for n in (0, 1))
        assert plain.vectors[0] == plain.vectors[1]
        length = math.hypot(*plain.vectors[0].values)
        assert length != pytest.approx(1, abs=0.01)
        expected = [value / length for value in plain.vectors[0].values]
        assert unit.vectors[0].values == pytest.approx(expected, abs=1e-6)
    async with AsyncClient(daemon.address) as client:
        assert await client.embed("tiny-llama", ["the inn", ids]) == plain


def test_refusals(daemon):
    """Inputs that are none; each names what to do. (test_classify has a family that cannot.)"""
    daemon.load("tiny-llama")
    with daemon.client() as client:
        with pytest.raises(InvalidFieldError, match=r"inputs\[1\].tokens.ids\[0\].*304"):
            client.embed("tiny-llama", ["a", [304]])
        with pytest.raises(InvalidFieldError, match="inputs"):
            client.embed("tiny-llama", [])
        with pytest.raises(ValueError, match="mean, last, first"):
            client.embed("tiny-llama", ["a"], pooling="max")
        with pytest.raises(ContextLengthExceededError):
            client.embed("tiny-llama", [[1] * 257])
        assert client.embed("tiny-llama", ["a", [303]]).vectors


def test_neighbours(daemon):
    """The same as sorting all rows by cosine; the query's own row first; long rows are counted."""
    daemon.load("tiny-llama")
    rows = [" ".join(WORDS[at : at + 4]) for at in range(11)] * 4 + ["long " * 300]
    file = daemon.folder / "lines.txt"
    file.write_text("".join(f"{row}\n" for row in rows))
    with daemon.client() as client:
        client.wait_operation(
            client.upload_dataset("lines", [file], kind="text", one_per_line=True)
        ).result()
        found = nearest(client, "tiny-llama", "lines", rows[3], count=6)
        assert (found.rows, found.left_out) == (45, 1)
        vectors = torch.tensor(
            [v.values for v in client.embed("tiny-llama", rows[:44], normalize=True).vectors]
        )
    cosines = vectors @ vectors[3]
    order = sorted(range(44), key=lambda at: (-round(cosines[at].item(), 5), at))
    assert [each.row for each in found.neighbours] == order[:6]
    assert [each.row for each in found.neighbours[:4]] == [3, 14, 25, 36]
    assert [each.text.strip() for each in found.neighbours] == [rows[at] for at in order[:6]]
    assert found.neighbours[5].similarity == pytest.approx(cosines[order[5]].item(), abs=1e-5)


def test_what_a_row_is_about():
    assert text_of({"prompt": "a", "completion": "b"}) == "a"
    assert text_of({"messages": [{"role": "user", "content": "a"}, {"content": "b"}]}) == "a\nb"
    assert text_of({"prompt": [{"role": "user", "content": "a"}], "chosen": "b"}) == "a"
    assert text_of({"x": 1}) == ""


def llmos(daemon, *arguments, piped=None):
    command = [sys.executable, "-c", "from llmos_client.cli.main import main; main()"]
    command += ["--address", daemon.address, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, input=piped)


def test_command(daemon):
    """Numbers for each text or line; neighbours as a table and as JSON."""
    with daemon.client() as client:
        vectors = client.embed("tiny-llama", ["the inn", "and"], pooling="mean").vectors
    said = llmos(daemon, "embed", "tiny-llama", "--pooling", "mean", piped="the inn\n\nand\n")
    lines = [[float(part) for part in line.split()] for line in said.stdout.splitlines()]
    for line, vector in zip(lines, vectors, strict=True):
        assert line == pytest.approx(vector.values, rel=1e-4, abs=1e-5)
    said = llmos(daemon, "embed", "tiny-llama", "the inn", "--normalize", "-o", "json")
    assert math.hypot(*json.loads(said.stdout)["values"]) == pytest.approx(1, abs=1e-5)
    near = ("embed", "tiny-llama", "--nearest", "rows", "the soup was", "--top", "2")
    table = llmos(daemon, *near).stdout.splitlines()
    found = json.loads(llmos(daemon, *near, "-o", "json").stdout)
    assert table[0].split() == ["COSINE", "ROW", "TEXT"]
    assert [line.split()[1] for line in table[1:]] == [str(n["row"]) for n in found["neighbours"]]
    assert llmos(daemon, "embed", "tiny-llama", "--nearest", "rows", "a", "b").returncode == 2
