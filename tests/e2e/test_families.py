"""Every family the importer knows, random and tiny, against transformers."""

import pytest
import torch
from transformers import AutoModelForCausalLM

FAMILIES = ["tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-qwen3", "tiny-gpt2"]
PROMPT = [5, 17, 200, 33, 8, 91, 14, 250, 3, 77, 120, 41]


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_family(daemon, tiny_folders, family):
    """Greedy tokens equal transformers', log-probabilities within 1e-4."""
    daemon.install(family, tiny_folders[family])
    daemon.load(family)
    with daemon.client() as client:
        answer = client.generate(
            family, tokens=PROMPT, temperature=0.0, max_tokens=30, ignore_eos=True, logprobs=1
        ).choices[0]
        client.delete_model(family, force=True)
    tokens = [token.id for token in answer.tokens]

    reference = AutoModelForCausalLM.from_pretrained(tiny_folders[family], dtype=torch.float32)
    logits = reference.eval()(torch.tensor([PROMPT + tokens])).logits[0]
    logprobs = logits[len(PROMPT) - 1 : -1].log_softmax(-1)

    assert logprobs.argmax(-1).tolist() == tokens
    drawn = logprobs.gather(1, torch.tensor(tokens).unsqueeze(1)).squeeze(1)
    assert [token.logprob for token in answer.tokens] == pytest.approx(drawn.tolist(), abs=1e-4)


def test_uploaded_defaults_are_in_effect(daemon, tiny_folders):
    """What the uploader gives as defaults is used where a request says nothing, and only there."""
    files = sorted(p for p in tiny_folders["tiny-llama"].iterdir() if p.is_file())
    with daemon.client() as client:
        sampling = {"temperature": 0.25, "top_k": 7}
        client.wait_operation(client.upload_model("defaults", files, sampling=sampling)).result()
        client.load_model("defaults").result()
        used = client.generate("defaults", tokens=[1], max_tokens=1, top_k=9).parameters
        client.delete_model("defaults", force=True)
    assert (used.temperature, used.top_k, used.top_p) == (0.25, 9, 1.0)


def test_server_names_the_families(client):
    """GetServerInfo lists what the tests above import, no more and no less."""
    assert list(client.server_info().architectures) == sorted(
        f.removeprefix("tiny-") for f in FAMILIES
    )
