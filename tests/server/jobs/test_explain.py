"""Integrated gradients against captum's on transformers' networks, and against what they promise."""

import itertools
import warnings

import msgspec
import pytest
import torch
import transformers
from safetensors.torch import save_file

from factory import Silent, tiny_gpt2, tiny_llama_folder, tiny_qwen3, tiny_version
from llmosd.errors import FeatureUnavailable, OperationCancelled
from llmosd.jobs.explain import attribute
from llmosd.jobs.messages import ExplainSpec
from tiny_prompts import wide_network
from tiny_training import tiny_config

PROMPT, ANSWER = [5, 70, 12, 200, 33, 9, 41], [17, 88, 3]
FOLDERS = {"llama": tiny_llama_folder, "qwen3": tiny_qwen3, "gpt2": tiny_gpt2}


@pytest.fixture(scope="module", params=FOLDERS)
def model(request, tmp_path_factory):
    """A version's folder, and transformers' network of the same weights."""
    source, output = (tmp_path_factory.mktemp(name) for name in ("source", "version"))
    FOLDERS[request.param](source)
    tiny_version(source, output)
    reference = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    return str(output), reference.eval()


def spec_of(folder, **changes):
    values = {"model_dir": folder, "prompt": PROMPT, "answer": ANSWER, "tolerance": 0.002}
    return ExplainSpec(**(values | changes))


def captums(reference, target, baseline):
    """captum's attributions to the prompt's embeddings.

    Evenly spaced steps do not see what happens near zeros (20,000 of them would not): the way is
    cut at halves, quarters and so on, and captum walks each part.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from captum.attr import IntegratedGradients
    table = reference.get_input_embeddings().weight.detach()
    prompt, answer = table[PROMPT].unsqueeze(0), table[ANSWER[:-1]].unsqueeze(0)
    places = range(len(ANSWER)) if target < 0 else [target]

    def output(embedded):
        rest = answer.expand(len(embedded), -1, -1)
        logits = reference(inputs_embeds=torch.cat([embedded, rest], 1)).logits
        return sum(logits[:, len(PROMPT) - 1 + at, ANSWER[at]] for at in places)

    base = torch.zeros_like(prompt)
    if baseline == "mean":
        base = table.mean(0).expand_as(prompt)
    cuts = [0.0, *(0.5**power for power in range(30 if baseline == "zero" else 3, -1, -1))]
    parts = [
        IntegratedGradients(output).attribute(
            base + end * (prompt - base), base + begin * (prompt - base), n_steps=30
        )
        for begin, end in itertools.pairwise(cuts)
    ]
    found = torch.stack(parts).sum(0).sum(-1)[0]
    with torch.no_grad():
        return found.tolist(), output(prompt).item(), output(base).item()


@pytest.mark.parametrize(("target", "baseline"), [(-1, "mean"), (0, "mean"), (2, "zero")])
def test_equals_captum(model, target, baseline):
    """Attributions within 2 % of the largest, outputs within rounding."""
    folder, reference = model
    expected, output, without = captums(reference, target, baseline)
    found = attribute(spec_of(folder, target=target, baseline=baseline), Silent())
    assert found.output == pytest.approx(output, abs=1e-3)
    assert found.baseline_output == pytest.approx(without, abs=1e-3)
    most = max(map(abs, expected))
    assert found.attributions == pytest.approx(expected, abs=0.02 * most)
    assert len({round(value / most, 2) for value in expected}) > 3


@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_completeness(model, baseline):
    """What is missed is below what was allowed; fewer steps where more is allowed."""
    folder, _ = model
    steps = []
    for tolerance in (0.05, 0.005):
        found = attribute(spec_of(folder, baseline=baseline, tolerance=tolerance), Silent())
        change = found.output - found.baseline_output
        assert found.converged
        assert abs(sum(found.attributions) - change) <= tolerance * abs(change)
        steps.append(found.steps)
    assert 16 <= steps[0] <= steps[1] <= 512


def test_too_few_steps_are_told(model):
    """The control: with the first sixteen alone the error is above what was allowed, and said."""
    found = attribute(spec_of(model[0], tolerance=1e-7, max_steps=16), Silent())
    assert not found.converged
    assert found.steps == 16


def test_a_recurrent_network_and_long_texts(tmp_path):
    """Complete, too; and the same whether activations are kept or computed again."""
    network = wide_network(tiny_config("lstm"), 3)
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(network.config))
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    prompt = [(at * at) % 50 for at in range(300)]
    spec = spec_of(str(tmp_path), prompt=prompt[:20], answer=[4, 6], tolerance=0.01)
    found = attribute(spec, Silent())
    change = found.output - found.baseline_output
    assert sum(found.attributions) == pytest.approx(change, abs=0.01 * abs(change))
    assert max(found.attributions[-3:], key=abs) != 0
    long = attribute(msgspec.structs.replace(spec, prompt=prompt, tolerance=0.05), Silent())
    change = long.output - long.baseline_output
    assert sum(long.attributions) == pytest.approx(change, abs=0.05 * abs(change))


def test_networks_that_are_not_layers(tmp_path):
    network = wide_network(tiny_config("seq2seq", start_id=7, encoder_layers=1), 6)
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(network.config))
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(FeatureUnavailable):
        attribute(spec_of(str(tmp_path), prompt=[1, 7], answer=[2]), Silent())


def test_cancelled(model):
    class Cancelled(Silent):
        def check_cancelled(self):
            raise OperationCancelled("enough")

    with pytest.raises(OperationCancelled):
        attribute(spec_of(model[0], tolerance=1e-7), Cancelled())
