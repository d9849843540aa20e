"""One step at a time: accumulation, guards, early stopping, and a state that is all there is."""

import copy
import dataclasses
import math

import msgspec
import pytest
import torch

from llmosd.architectures.trainable.lora import add_adapters
from llmosd.architectures.trainable.registry import from_scratch
from llmosd.architectures.trainable.rest import set_rest
from llmosd.errors import InvalidField, TrainingDiverged
from llmosd.jobs.specs import LatentSpec, OptimizerSpec, StoppingSpec
from llmosd.jobs.training.batches import Examples, Rules
from llmosd.jobs.training.checkpoint import Loaded
from llmosd.jobs.training.events import Metric, Warned
from llmosd.jobs.training.health import check_health
from tiny_training import (
    START,
    assert_same_bits,
    tiny_config,
    tiny_data,
    tiny_sentences,
    tiny_spec,
    tiny_text,
    tiny_trainer,
    weights_of,
)


def trainer_of(spec, data=None, *, dropout=0.0, **changes):
    kind = {"masked_language_model": "encoder", "vae": "vae"}.get(spec.objective, spec.family)
    config = tiny_config(kind)
    if kind == "vae":
        config = tiny_config(kind, latent_size=6, encoder_layers=1, start_id=START)
    network = from_scratch(config, 0, dropout)
    return tiny_trainer(spec, network, data or tiny_data(), **changes)


def loaded(trainer):
    weights, optimizer, run = trainer.state()
    return Loaded(
        {name: each.clone() for name, each in weights.items()},
        {name: each.clone() for name, each in optimizer.items()},
        copy.deepcopy(run),
    )


@pytest.mark.parametrize("objective", ["language_model", "sft", "masked_language_model"])
def test_accumulation_equals_one_batch(objective):
    """8 parts of 1 and 1 of 8: the same weights after 5 steps, to 1e-5."""
    found = []
    for accumulation in (1, 8):
        spec = tiny_spec(
            objective=objective, batch_size=8, accumulation=accumulation, packing=False,
            optimizer=OptimizerSpec(name="sgd", learning_rate=0.1),
        )  # fmt: skip
        trainer = trainer_of(spec)
        for _ in range(5):
            trainer.step()
        found.append(weights_of(trainer.network))
    start = weights_of(trainer_of(spec).network)
    name = "model.layers.0.mlp.up_proj.weight"
    assert (found[0][name] - start[name]).abs().max() > 1e-4
    for name, weight in found[0].items():
        torch.testing.assert_close(weight, found[1][name], atol=1e-5, rtol=0)


CASES = {
    "dropout": ({"objective": "sft"}, 0.2, tiny_data()),
    "masks": ({"objective": "masked_language_model"}, 0.1, tiny_data()),
    "windows": ({"sequence_length": 16, "optimizer": OptimizerSpec(name="muon")}, 0.0, tiny_text()),
    "adversarial": ({"objective": "sft", "adversarial_epsilon": 0.5}, 0.1, tiny_data()),
    "latent": (
        {
            "objective": "vae",
            "accumulation": 2,
            "latent": LatentSpec(kl_schedule="cyclical", word_dropout=0.3),
        },
        0.1,
        tiny_sentences(),
    ),
    "tracks": (
        {"family": "lstm", "sequence_length": 16, "sampling": "tracks"},
        0.1,
        tiny_text(400),
    ),
    "accumulated": ({"objective": "sft", "accumulation": 3}, 0.2, tiny_data()),
}


def run_to_the_end(case, resume_at=(), forget=None):
    """12 steps; at some, everything is thrown away but what `state` gives. `forget` spoils it."""
    changes, dropout, data = CASES[case]
    spec = tiny_spec(steps=12, **changes)
    trainer = trainer_of(spec, data, dropout=dropout)
    torch.manual_seed(len(resume_at))
    left = set(resume_at)
    while not trainer.done:
        if trainer.run.step in left:
            left.remove(trainer.run.step)
            kept = loaded(trainer)
            trainer = trainer_of(spec, data, dropout=dropout)
            torch.manual_seed(trainer.run.step + 99)
            trainer.restore(kept)
            if forget:
                forget(trainer)
        trainer.step()
    return trainer


@pytest.mark.parametrize("case", CASES)
def test_resuming_changes_no_bit(case):
    """Stopped at 3, 4 and 9 of 12: weights and moments are those of an undisturbed run."""
    whole, resumed = run_to_the_end(case), run_to_the_end(case, {3, 4, 9})
    assert_same_bits(weights_of(whole.network), weights_of(resumed.network))
    assert_same_bits(whole.state()[1], resumed.state()[1])
    assert whole.run.tokens == resumed.run.tokens
    assert whole.run.losses == resumed.run.losses


def _forget_position(trainer):
    trainer.run.step -= 1


def _forget_randomness(trainer):
    trainer._spec = msgspec.structs.replace(trainer._spec, seed=trainer._spec.seed + 1)


def _forget_moments(trainer):
    trainer._optimizers.restore({})


def _forget_carried(trainer):
    trainer._carried.forget()


@pytest.mark.parametrize(("case", "forget"), [
    ("dropout", _forget_position),
    ("dropout", _forget_randomness),
    ("dropout", _forget_moments),
    ("masks", _forget_randomness),
    ("windows", _forget_position),
    ("tracks", _forget_carried),
])  # fmt: skip
def test_the_comparison_would_notice(case, forget):
    """The control: without the position, the random numbers or the moments, bits differ."""
    whole, resumed = run_to_the_end(case), run_to_the_end(case, {9}, forget)
    one, two = weights_of(whole.network), weights_of(resumed.network)
    assert any(not torch.equal(one[name], two[name]) for name in one)


def test_learning_and_evaluating():
    """The loss falls far below guessing; evaluation is the mean over all tokens, and repeatable."""
    data = tiny_data(60)
    said = []
    spec = tiny_spec(objective="sft", steps=60, log_every=10)
    trainer = trainer_of(spec, tiny_data(200, seed=1), validation=data, events=said.append)
    before = trainer.evaluate()
    assert before["loss"] == pytest.approx(math.log(50), abs=0.15)
    assert before["perplexity"] == pytest.approx(math.exp(before["loss"]))
    while not trainer.done:
        trainer.step()
    after = trainer.evaluate()
    assert after == trainer.evaluate()
    assert after["loss"] < 0.6 * before["loss"]
    assert after["accuracy"] > 0.5
    metrics = [event for event in said if isinstance(event, Metric)]
    assert [event.step for event in metrics] == [1, *range(10, 61, 10)]
    assert metrics[-1].loss < metrics[0].loss
    assert metrics[-1].tokens == trainer.run.tokens
    assert metrics[-1].tokens_per_second > 0
    losses = []
    trainer.network.eval()
    examples = Examples(data, Rules(True, 1, False, 32))
    with torch.no_grad():
        for at in range(len(examples)):
            batch = examples.batch(torch.tensor([at]).numpy())
            scores = trainer.network(batch.ids, batch.lengths) @ trainer.network.head.T
            each = torch.nn.functional.cross_entropy(scores, batch.targets, reduction="none")
            losses += each[batch.targets >= 0].tolist()
    assert after["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)


def test_clipping():
    """The norm that is reported is the one before; the step is that of the clipped gradient."""
    said, found = [], []
    for limit in (0.0, 0.1):
        optimizer = OptimizerSpec(name="sgd", learning_rate=1.0)
        spec = tiny_spec(clip_norm=limit, optimizer=optimizer, schedule=tiny_spec().schedule)
        trainer = trainer_of(spec, events=said.append)
        before = weights_of(trainer.network)
        trainer.step()
        after = weights_of(trainer.network)
        squares = sum(float((after[n] - before[n]).square().sum()) for n in before)
        found.append(math.sqrt(squares) / said[-1].learning_rate)
    assert said[0].grad_norm == said[1].grad_norm == pytest.approx(found[0], rel=1e-4)
    assert found[1] == pytest.approx(0.1, rel=1e-4)


def test_bfloat16_is_near_float32():
    """Mixed precision: another loss, but near; weights stay float32."""
    losses = []
    for precision in ("float32", "bfloat16"):
        trainer = trainer_of(tiny_spec(precision=precision, steps=20))
        while not trainer.done:
            trainer.step()
        assert {each.dtype for each in trainer.network.parameters()} == {torch.float32}
        losses.append(trainer.run.losses[-1])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


class Bad:
    """Makes the loss of some steps infinite, once or always."""

    def __init__(self, trainer, steps, *, once=False):
        self.steps, self.once = set(steps), once
        self.inner, self.trainer = trainer._objective, trainer
        trainer._objective = self

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def loss(self, network, batch):
        outcome = self.inner.loss(network, batch)
        if self.trainer.run.step in self.steps:
            if self.once:
                self.steps.remove(self.trainer.run.step)
            bad = outcome.loss * float("inf")
            return dataclasses.replace(outcome, loss=bad, metrics={"loss": float("inf")})
        return outcome


def test_a_bad_step_is_skipped_once():
    """The weights stay, a warning says so, and the run goes on."""
    said = []
    trainer = trainer_of(tiny_spec(), events=said.append)
    Bad(trainer, {2})
    for _ in range(2):
        trainer.step()
    before = weights_of(trainer.network)
    trainer.step()
    assert_same_bits(weights_of(trainer.network), before)
    assert trainer.run.step == 3
    assert [event.message for event in said if isinstance(event, Warned)] == [
        "step 3: the loss or its gradient is not finite; the step is skipped"
    ]
    trainer.step()
    assert all(bool(torch.isfinite(each).all()) for each in trainer.network.parameters())


def test_then_back_to_the_checkpoint_then_the_end():
    """Two bad steps: back, with half the rate. Bad again: the run ends, naming step and examples."""
    said = []
    trainer = trainer_of(tiny_spec(steps=10), events=said.append)
    trainer.step()
    kept = loaded(trainer)
    trainer.rollback = lambda: copy.deepcopy(kept)
    Bad(trainer, {3, 4})
    rate = said[0].learning_rate
    while not any("back to step 1" in getattr(event, "message", "") for event in said):
        trainer.step()
    assert trainer.run.step == 1
    assert_same_bits(weights_of(trainer.network), kept.weights)
    assert trainer.run.rate_scale == 0.5
    trainer.step()
    assert said[-1].step == 2
    assert said[-1].learning_rate < 1.01 * rate
    trainer.step()
    with pytest.raises(TrainingDiverged, match=r"step 4: .*again; examples \d+") as caught:
        trainer.step()
    assert caught.value.metadata["step"] == "4"
    assert str(trainer._batches.at(3).examples[0] + 1) in caught.value.metadata["examples"]


def test_what_is_long_ago_is_forgiven():
    """After 100 good steps a bad one is skipped again; nothing is rolled back."""
    said = []
    trainer = trainer_of(tiny_spec(steps=200, log_every=1000), events=said.append)
    Bad(trainer, {1, 102})
    for _ in range(110):
        trainer.step()
    assert [e.message[:9] for e in said if isinstance(e, Warned)] == ["step 2: t", "step 103:"]
    assert trainer.run.rate_scale == 1.0


@pytest.mark.parametrize(("maximize", "values", "stops"), [
    (False, [3.0, 2.0, 2.5, 2.1, 2.2], 5),
    (False, [3.0, 2.0, 1.99, 1.98, 1.97], 5),
    (False, [3.0, 2.0, 2.5, 1.5, 2.2, 2.2, 1.49], 7),
    (True, [0.1, 0.5, 0.4, 0.4, 0.4], 5),
])  # fmt: skip
def test_early_stopping(maximize, values, stops):
    """At the third evaluation without an improvement by min_delta, on a scripted metric."""
    rule = StoppingSpec(metric="score", patience=3, min_delta=0.05, maximize=maximize)
    trainer = trainer_of(tiny_spec(early_stopping=rule))
    for number, value in enumerate(values, 1):
        trainer.run.step = 10 * number
        trainer.record({"loss": 1.0, "score": value})
        assert trainer.stops_early() == (number == stops), number
    with pytest.raises(InvalidField, match="'score' is not one of loss"):
        trainer.record({"loss": 1.0})


def test_health():
    """Finite, better than guessing, not worse than before."""
    network = from_scratch(tiny_config(), 0)
    check_health(network, {"loss": 3.0}, {"loss": 3.1}, math.log(50))
    check_health(network, {"loss": 3.0}, {}, None)
    check_health(network, {"loss": 6.0}, {"loss": 7.0}, math.log(50))
    with pytest.raises(TrainingDiverged, match=r"guessing has 3\.912"):
        check_health(network, {"loss": 4.2}, {}, math.log(50))
    with pytest.raises(TrainingDiverged, match="says the same"):
        check_health(network, {"loss": math.log(50) + 6e-8}, {}, math.log(50))
    check_health(network, {"loss": math.log(50) + 1e-5}, {}, math.log(50))
    with pytest.raises(TrainingDiverged, match="was 2 before"):
        check_health(network, {"loss": 2.5}, {"loss": 2.0}, math.log(50))
    with pytest.raises(TrainingDiverged):
        check_health(network, {"loss": math.nan}, {}, None)
    # A classifier that is too sure, and still right more often than the most frequent label is.
    sure = {"loss": 1.2, "accuracy": 0.8, "majority_baseline": 0.6}
    check_health(network, sure, {}, math.log(2))
    check_health(network, sure, {"loss": 0.7, "accuracy": 0.7}, math.log(2))
    for metrics, before in [
        (sure | {"accuracy": 0.6}, {}),
        (sure, {"loss": 0.7, "accuracy": 0.8}),
    ]:
        with pytest.raises(TrainingDiverged, match=r"the loss is 1.2"):
            check_health(network, metrics, before, math.log(2))
    network.model.norm.weight.data[3] = math.nan
    with pytest.raises(TrainingDiverged, match=r"model\.norm\.weight"):
        check_health(network, {"loss": 3.0}, {}, None)


def test_adversarial_training_learns_the_worst_neighbourhood():
    """Gradients are those of the loss here plus the loss where it rises most, at distance epsilon."""
    spec = tiny_spec(objective="sft", adversarial_epsilon=0.7, packing=False)
    trainer = trainer_of(spec)
    batch = trainer._batches.at(0)
    count = trainer._objective.count(batch)
    trainer._gradients.accumulate(batch, trainer._objective, count)
    found = {name: each.grad.clone() for name, each in trainer.network.named_parameters()}
    network = from_scratch(tiny_config(), 0)
    still = torch.zeros(len(batch.ids), 32, requires_grad=True)
    loss = trainer._objective.loss(network, batch.perturbed(still)).loss / count
    loss.backward()
    moves = [0.7 * piece / piece.norm() for piece in still.grad.split(batch.lengths)]
    worse = trainer._objective.loss(network, batch.perturbed(torch.cat(moves))).loss / count
    assert float(worse.detach()) > float(loss.detach())
    worse.backward()
    for name, each in network.named_parameters():
        torch.testing.assert_close(found[name], each.grad, atol=1e-6, rtol=1e-4)


def test_adapters_learn_and_the_base_stays():
    """Only what is trained is in the state."""
    network = from_scratch(tiny_config(), 0)
    add_adapters(network, ("q_proj", "up_proj"), rank=4, alpha=8.0)
    before = weights_of(network)
    trainer = tiny_trainer(tiny_spec(method="lora"), network, tiny_data())
    while not trainer.done:
        trainer.step()
    after = weights_of(network)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == set(trainer.state()[0]) == {name for name in before if "lora_" in name}


def test_rests_are_many_and_change_no_bit():
    """A step can be interrupted in all its parts, forward and backward."""
    found, rests = [], 0

    def count():
        nonlocal rests
        rests += 1

    for rest in (None, count):
        trainer = trainer_of(tiny_spec())
        set_rest(rest)
        try:
            for _ in range(3):
                trainer.step()
        finally:
            set_rest(None)
        found.append(weights_of(trainer.network))
    assert_same_bits(*found)
    # Of every step: before each of two layers and before the head, forward; each layer backward.
    assert rests >= 3 * (2 + 1 + 1)
