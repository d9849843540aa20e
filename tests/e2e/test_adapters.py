"""Adapters of the peft library from elsewhere, through a real daemon: imported, served, removed."""

import json

import peft
import pytest
import torch
import transformers

from daemon import llmos
from llmos_client import InvalidFieldError, LlmosError, ModelInUseError, ModelNotFoundError
from llmos_client.fetch.folder import find_model_files

PROMPT = [5, 17, 200, 33, 8, 91]

# peft 0.21 asks transformers 5.24 by an older name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated.*:FutureWarning")


@pytest.fixture(scope="module")
def oracle(tiny_folders):
    """peft's model, whose adapter does something."""
    folder = tiny_folders["tiny-qwen2"]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "up_proj"])
    model = peft.get_peft_model(model, config).eval()
    torch.manual_seed(0)
    for name, each in model.named_parameters():
        if "lora_B" in name:
            each.data.normal_(0, 0.1)
    return model


@pytest.fixture(scope="module")
def folder(oracle, tmp_path_factory):
    path = tmp_path_factory.mktemp("peft") / "poet"
    oracle.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def base(daemon, tiny_folders):
    daemon.install("adapted", tiny_folders["tiny-qwen2"])
    yield "adapted"
    with daemon.client() as client:
        client.delete_model("adapted", force=True)


def said(client, name):
    options = {"tokens": PROMPT, "temperature": 0.0, "max_tokens": 16, "logprobs": 1}
    answer = client.generate(name, ignore_eos=True, **options).choices[0]
    return [token.id for token in answer.tokens], [token.logprob for token in answer.tokens]


def test_answers_as_pefts(daemon, client, oracle, folder, base, tmp_path):
    """Beside its base; the export is peft's files again, and comes back as it went."""
    done = llmos(daemon.address, "import", str(folder), "--base", base, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"]["name"] == "models/poet/versions/1"
    for name in (base, "poet"):
        daemon.load(name)
    tokens, logprobs = said(client, "poet")
    assert tokens != said(client, base)[0]
    wanted = reference(oracle)
    assert tokens == wanted[0]
    assert logprobs == pytest.approx(wanted[1], abs=1e-4)

    with pytest.raises(ModelInUseError, match="poet"):
        client.delete_model(base, force=True)
    exported = client.export_model("poet", tmp_path / "out").path
    found = find_model_files(exported)
    assert found.adapter
    again = client.upload_model("poet-2", found.paths, base=base)
    client.wait_operation(again).result()
    daemon.load("poet-2")
    assert said(client, "poet-2") == (tokens, logprobs)
    for name in ("poet-2", "poet"):
        client.delete_model(name, force=True)


@torch.inference_mode()
def reference(oracle):
    ids = torch.tensor([PROMPT])
    made = oracle.generate(input_ids=ids, max_new_tokens=16, do_sample=False, eos_token_id=None)
    scores = oracle(made).logits[0, len(PROMPT) - 1 : -1].log_softmax(-1)
    tokens = made[0, len(PROMPT) :]
    return tokens.tolist(), scores.gather(1, tokens[:, None])[:, 0].tolist()


def test_refused(daemon, client, folder, base, tiny_folders):
    """Each by what is wrong with it, and nothing is kept."""
    paths = find_model_files(folder).paths
    with pytest.raises(ModelNotFoundError):
        client.upload_model("nobody", paths, base="no-such")
    with pytest.raises(InvalidFieldError, match=r"header\.format"):
        client.upload_model("nobody", paths, base=base, model_format="gguf")
    with pytest.raises(LlmosError, match="name the version of its base"):
        client.wait_operation(client.upload_model("nobody", paths)).result()
    with pytest.raises(LlmosError, match="is this its base"):
        client.wait_operation(client.upload_model("nobody", paths, base="smollm2")).result()
    assert "nobody" not in [model.name.partition("/")[2] for model in client.list_models()]


def test_the_commands_words(daemon, folder, base, tiny_folders):
    """What is asked for is said before anything is sent."""
    done = llmos(daemon.address, "import", str(folder))
    assert (done.returncode, "name the model it changes by --base" in done.stderr) == (2, True)
    done = llmos(daemon.address, "import", str(tiny_folders["tiny-llama"]), "--base", base)
    assert (done.returncode, "leave out --base" in done.stderr) == (2, True)
