"""What is estimated before a run, against what runs measure."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from llmosd.jobs.specs import LoraSpec, OptimizerSpec
from llmosd.jobs.training.estimate import adapter_parameters, estimate
from tiny_training import tiny_config, tiny_spec

MEASURE = """
import sys
import msgspec, torch
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.trainable.lora import add_adapters
from llmosd.architectures.trainable.registry import from_scratch
from llmosd.jobs.specs import TrainSpec
sys.path.insert(0, sys.argv[3])
from tiny_training import tiny_text, tiny_trainer
spec = msgspec.json.decode(sys.argv[1], type=TrainSpec)
config = msgspec.json.decode(sys.argv[2], type=ModelConfig)
torch.set_num_threads(1)
network = from_scratch(config, 0)
if spec.method == "lora":
    add_adapters(network, spec.lora.targets, rank=8, alpha=16.0)
trainer = tiny_trainer(spec, network, tiny_text(20_000))
for _ in range(3):
    trainer.step()
# Not ru_maxrss: that begins with what the parent had when it forked.
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""


@pytest.mark.parametrize(("config", "changes"), [
    (tiny_config("gpt2", vocab_size=65, hidden_size=128, intermediate_size=512, num_layers=4,
                 head_dim=32), {"batch_size": 12, "sequence_length": 64}),
    (tiny_config(vocab_size=20_000, hidden_size=512, intermediate_size=1024, num_layers=4,
                 head_dim=128), {"batch_size": 4, "sequence_length": 128}),
    (tiny_config(vocab_size=20_000, hidden_size=512, intermediate_size=1536, num_layers=6,
                 head_dim=128), {"batch_size": 4, "sequence_length": 128, "method": "lora"}),
    (tiny_config("lstm", vocab_size=5000, hidden_size=512, num_layers=2),
     {"batch_size": 16, "sequence_length": 128}),
], ids=["nanoGPT", "whole", "adapter", "lstm"])  # fmt: skip
def test_memory_is_within_a_fifth(config, changes):
    """Of the largest resident size of a process that does three steps."""
    spec = tiny_spec(family=config.architecture, threads=1, **changes)
    arguments = [msgspec.json.encode(each).decode() for each in (spec, config)]
    tests = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments, tests],
        capture_output=True,
        text=True,
        check=True,
    )
    assert estimate(spec, config).total == pytest.approx(int(done.stdout), rel=0.2)


def test_what_makes_it_larger():
    """Each choice moves the part that it should, and no other."""
    config, spec = tiny_config(), tiny_spec()
    plain = estimate(spec, config)
    sgd = estimate(tiny_spec(optimizer=OptimizerSpec(name="sgd")), config)
    assert (sgd.optimizer, sgd.gradients) == (0, plain.gradients)
    halved = estimate(tiny_spec(accumulation=2), config)
    assert halved.activations == pytest.approx(plain.activations / 2, rel=0.01)
    again = estimate(tiny_spec(gradient_checkpointing=True), tiny_config(num_layers=20))
    assert again.activations < 0.5 * estimate(spec, tiny_config(num_layers=20)).activations
    assert estimate(tiny_spec(objective="dpo"), config).weights == 2 * plain.weights
    taught = estimate(tiny_spec(objective="distill"), config, teacher=config)
    assert taught.weights == 2 * plain.weights
    adapter = estimate(tiny_spec(method="lora"), config)
    assert adapter.gradients == 4 * adapter_parameters(config, tiny_spec())
    assert adapter.gradients < 0.2 * plain.gradients
    assert adapter.seconds(10, 1e9) < plain.seconds(10, 1e9)


def test_adapters_of_smollm2():
    """460,800, as peft counts them."""
    config = tiny_config(
        vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_layers=30, num_heads=9,
        num_kv_heads=3, head_dim=64,
    )  # fmt: skip
    assert adapter_parameters(config, tiny_spec(lora=LoraSpec())) == 460_800
