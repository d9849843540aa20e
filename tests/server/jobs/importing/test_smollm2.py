"""The real model, against transformers reading the same file."""

import json
import re
import shutil

import pytest
import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from llmosd.architectures.config import ModelConfig
from llmosd.jobs.importing.convert import import_model
from llmosd.jobs.messages import ImportSpec
from llmosd.store.versions import VersionStore


class Recorder:
    def __init__(self):
        self.reports = []

    def report(self, stage, completed=0, total=0, unit=""):
        self.reports.append((stage, completed, total, unit))

    def check_cancelled(self):
        pass


@pytest.fixture(scope="module")
def imported(smollm2_gguf, tmp_path_factory):
    root = tmp_path_factory.mktemp("state")
    store = VersionStore(root)
    staging = store.stage()
    progress = Recorder()
    spec = ImportSpec(
        files={"smollm2.gguf": str(smollm2_gguf)},
        format="gguf",
        output=str(staging.version),
        source="test",
    )
    result = import_model(spec, progress)
    store.publish("smollm2", 1, staging)
    yield store, result, progress.reports
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def transformers_tokenizer(smollm2_gguf):
    return AutoTokenizer.from_pretrained(smollm2_gguf.parent, gguf_file=smollm2_gguf.name)


def test_the_manifest_says_what_it_is(imported):
    store, result, _ = imported
    manifest = store.manifest("smollm2", 1)
    assert manifest == result.manifest
    assert manifest.parameter_count == 134_515_008
    assert (manifest.architecture, manifest.family, manifest.dtype) == ("llama", "llama", "float32")
    assert (manifest.context_length, manifest.vocabulary_size) == (8192, 49152)
    assert (manifest.license, manifest.source, manifest.chat) == ("apache-2.0", "test", True)
    assert manifest.lineage["smollm2.gguf"].startswith("sha256:b179c952")
    assert result.byte_size == store.byte_size("smollm2", 1)


def test_the_config_is_transformers_config(imported, smollm2_reference):
    config = imported[0].config("smollm2", 1, ModelConfig)
    theirs = smollm2_reference.config
    assert (config.hidden_size, config.intermediate_size) == (
        theirs.hidden_size,
        theirs.intermediate_size,
    )
    assert (config.num_layers, config.num_heads, config.num_kv_heads) == (30, 9, 3)
    assert config.norm_eps == 1e-5
    assert config.rope.theta == theirs.rope_parameters["rope_theta"] == 100000.0
    assert config.rope.kind == "default"
    assert config.tie_embeddings
    assert theirs.tie_word_embeddings


def test_every_weight_is_bit_equal(imported, smollm2_reference):
    path = imported[0].path("smollm2", 1) / "model.safetensors"
    theirs = smollm2_reference.state_dict()
    with safe_open(path, "pt") as ours:
        assert set(ours.keys()) == set(theirs) - {"lm_head.weight"}
        for name in ours.keys():  # noqa: SIM118 - not a dict
            assert torch.equal(ours.get_tensor(name), theirs[name]), name


TEXTS = [
    "Hello, world!",
    "  two  spaces   three\t\ttabs\n\n\nlines \n ",
    "def f(x):\n    return x**2 + 0x1F  # comment\n",
    "naïve café — “quotes” … ½ ² ①",
    "日本語のテキスト と 한국어, русский, العربية, हिन्दी",
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽 🤖",
    "don't I'll we've she'd it's I'M",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|> <repo_name> not<|a token|>",
    "a\u0301 \u00e1 \ufeff\u200b\u00a0nbsp",
    "\x00\x01\x7f control",
    "",
    " ",
    "🤖" * 50,
]
NUMBERS = ["In 2024, 3.14159 and 1,000,000 at 10%", "12345 678 90", "x1y22z333", "٣٤٥ 四 Ⅳ ½¾ 2²"]


@pytest.mark.parametrize("text", [text for text in TEXTS if not re.search(r"\d\d", text)])
def test_tokens_are_transformers_tokens(imported, transformers_tokenizer, text):
    tokenizer = Tokenizer.from_file(str(imported[0].path("smollm2", 1) / "tokenizer.json"))
    without_numbers = re.sub(r"[½²①\d]", "", text)
    ours = tokenizer.encode(without_numbers).ids
    assert ours == transformers_tokenizer(without_numbers).input_ids
    assert tokenizer.decode(ours, skip_special_tokens=False) == without_numbers


@pytest.mark.parametrize("text", NUMBERS + TEXTS[2:4])
def test_each_digit_is_a_piece_of_its_own(imported, transformers_tokenizer, text):
    """As in the model's own tokenizer and llama.cpp; transformers' GGUF reader leaves that out."""
    tokenizer = Tokenizer.from_file(str(imported[0].path("smollm2", 1) / "tokenizer.json"))
    pieces = re.split(r"([\d½¾²①Ⅳ])", text)  # 四 is a letter to Unicode
    expected = [i for piece in pieces if piece for i in transformers_tokenizer(piece).input_ids]
    assert tokenizer.encode(text).ids == expected
    assert tokenizer.decode(expected) == text


def test_generation_defaults_and_template(imported, transformers_tokenizer):
    store = imported[0]
    defaults = store.generation_defaults("smollm2", 1)
    assert (defaults.bos_token, defaults.bos_token_id) == ("<|im_start|>", 1)
    assert (defaults.eos_token, defaults.eos_token_ids) == ("<|im_end|>", [2, 0])
    assert not defaults.add_bos
    assert store.chat_template("smollm2", 1) == transformers_tokenizer.chat_template


def test_progress_counts_bytes_to_the_end(imported):
    reports = imported[2]
    weights = [(done, total) for stage, done, total, unit in reports if stage == "weights"]
    assert weights == sorted(weights)
    assert weights[-1] == (134_515_008 * 4, 134_515_008 * 4)
    assert list(dict.fromkeys(stage for stage, *_ in reports)) == ["read", "digest", "weights"]


def test_the_card_is_short_text(imported):
    text = (imported[0].path("smollm2", 1) / "card.md").read_text()
    assert "134,515,008 parameters" in text
    assert "apache-2.0" in text
    json.loads((imported[0].path("smollm2", 1) / "config.json").read_text())
