"""Each objective against its definition, and what must hold for all of them."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from llmosd.architectures.trainable.registry import from_scratch
from llmosd.objectives.batch import IGNORED, Batch
from llmosd.objectives.preference import dpo_losses, kto_losses, mismatched
from llmosd.objectives.registry import OBJECTIVES
from tiny_training import (
    START,
    WORDS,
    gradients,
    sentence_batch,
    tiny_batch,
    tiny_config,
    tiny_objective,
)

HEADS = {
    "classify": {"head": "classify", "labels": ("a", "b", "c")},
    "regress": {"head": "regress", "labels": ("grade",)},
}
ALL = sorted(OBJECTIVES)


def network_of(name, seed=0, dropout=0.0):
    if name == "vae":
        config = tiny_config("vae", latent_size=6, encoder_layers=1, start_id=START)
        return from_scratch(config, seed, dropout)
    kind = "encoder" if name == "masked_language_model" else "llama"
    return from_scratch(tiny_config(kind, **HEADS.get(name, {})), seed, dropout)


def batch_of(name, count=8):
    if name == "vae":
        return sentence_batch(count)
    objective = OBJECTIVES[name]
    data = (
        {"grades": True} if name == "regress" else {"labels": {"classify": 3, "kto": 2}.get(name)}
    )
    every = name in {"language_model", "masked_language_model"}
    return tiny_batch(
        count, shifted=objective.shifted, group=objective.group, every_token=every, **data
    )


def other_of(name):
    """A reference or a teacher, where one is needed."""
    return network_of(name, seed=9) if name in {"dpo", "kto", "distill"} else None


def prepared(objective, network, batch, parts=1):
    return objective.prepare(network, batch, torch.Generator().manual_seed(5), parts)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("parts", [2, 8])
def test_parts_equal_the_whole(name, parts):
    """Accumulated over parts: the same loss and gradients, to 1e-5."""
    found = []
    for count in (1, parts):
        network = network_of(name)
        objective = tiny_objective(name, other_of(name))
        batch = prepared(objective, network, batch_of(name), count)
        total = objective.count(batch)
        pieces = batch.split(count, objective.group)
        assert len(pieces) == min(count, 8 // objective.group)
        loss = sum(_backward(objective, network, piece, total) for piece in pieces)
        found.append((loss, gradients(network)))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    for key, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][key], atol=1e-5, rtol=1e-4)


def _backward(objective, network, piece, total):
    outcome = objective.loss(network, piece)
    (outcome.loss / total).backward()
    return float(outcome.loss.detach()) / total


@pytest.mark.parametrize("name", ALL)
def test_end_to_end_equals_one_by_one(name):
    """Examples in one batch have the loss that they have alone, to 1e-5."""
    network = network_of(name).eval()
    objective = tiny_objective(name, other_of(name))
    batch = prepared(objective, network, batch_of(name))
    whole = objective.loss(network, batch)
    pieces = batch.split(8, objective.group)
    alone = [objective.loss(network, piece) for piece in pieces]
    assert sum(each.count for each in alone) == whole.count == objective.count(batch)
    total = sum(float(each.loss.detach()) for each in alone)
    assert total / whole.count == pytest.approx(float(whole.loss.detach()) / whole.count, abs=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_the_gradient_is_that_of_the_loss(name):
    """A small step against the gradient lowers the loss by what the gradient says."""
    network = network_of(name).eval()
    objective = tiny_objective(name, other_of(name))
    batch = prepared(objective, network, batch_of(name))
    before = objective.loss(network, batch).loss
    before.backward()
    norm = math.sqrt(sum(float(each.square().sum()) for each in gradients(network).values()))
    step = 1e-3
    with torch.no_grad():
        for weight in network.parameters():
            if weight.grad is not None:
                weight.sub_(step / norm * weight.grad)
    after = float(objective.loss(network, batch).loss.detach())
    assert float(before.detach()) - after == pytest.approx(step * norm, rel=0.15)


def test_language_model_is_torchs_cross_entropy():
    """Of every token's successor, prompts included; smoothed in training only."""
    network, batch = network_of("language_model"), batch_of("language_model")
    scores = network(batch.ids, batch.lengths) @ network.head.T
    for smoothing in (0.0, 0.2):
        objective = tiny_objective("language_model", label_smoothing=smoothing)
        wanted = functional.cross_entropy(
            scores, batch.targets, reduction="sum", label_smoothing=smoothing
        )
        plain = functional.cross_entropy(scores, batch.targets, reduction="sum")
        outcome = objective.loss(network.train(), batch)
        torch.testing.assert_close(outcome.loss, wanted)
        assert outcome.metrics["loss"] == pytest.approx(float(plain.detach()), rel=1e-5)
        torch.testing.assert_close(objective.loss(network.eval(), batch).loss, plain)
    assert objective.guess() == math.log(WORDS)


def test_sft_leaves_prompts_out():
    """They are read and not asked for: no gradient comes from their scores."""
    batch = batch_of("sft")
    asked = batch.targets != IGNORED
    assert 0 < int(asked.sum()) < len(asked)
    network, objective = network_of("sft"), tiny_objective("sft")
    head = torch.nn.Parameter(network.head.detach().clone())
    seen = {}

    class Watched:
        training = False

        def __call__(self, *arguments):
            seen["hidden"] = network(*arguments)
            seen["hidden"].retain_grad()
            return seen["hidden"]

    watched = Watched()
    watched.head = head
    objective.loss(watched, batch).loss.backward()
    gradient = seen["hidden"].grad.abs().sum(1)
    assert gradient[~asked].max() == 0
    assert gradient[asked].min() > 0


def test_masked_words_are_chosen_as_bert_does():
    """15 % chosen; of these 80 % masked, 10 % any word, 10 % kept; the rest not asked for."""
    size = 200_000
    ids = torch.randint(WORDS - 1, (size,), generator=torch.Generator().manual_seed(0))
    batch = Batch(ids, torch.full((size,), IGNORED), (size,))
    objective = tiny_objective("masked_language_model")
    done = objective.prepare(None, batch, torch.Generator().manual_seed(1), 1)
    chosen = done.targets != IGNORED
    assert torch.equal(done.targets[chosen], ids[chosen])
    assert torch.equal(done.ids[~chosen], ids[~chosen])
    assert float(chosen.float().mean()) == pytest.approx(0.15, abs=0.005)
    masked = float((done.ids[chosen] == WORDS - 1).float().mean())
    kept = float((done.ids[chosen] == ids[chosen]).float().mean())
    # A random word is the mask, or the word itself, once in WORDS times.
    assert masked == pytest.approx(0.8 + 0.1 / WORDS, abs=0.01)
    assert kept == pytest.approx(0.1 + 0.1 / WORDS, abs=0.01)
    again = objective.prepare(None, batch, torch.Generator().manual_seed(1), 1)
    assert torch.equal(done.ids, again.ids)
    other = objective.prepare(None, batch, torch.Generator().manual_seed(2), 1)
    assert not torch.equal(done.ids, other.ids)


def test_one_word_at_least_is_masked():
    """A batch without targets would teach nothing."""
    batch = Batch(torch.tensor([3, 4]), torch.full((2,), IGNORED), (2,))
    objective = tiny_objective("masked_language_model", mask_share=0.0)
    for seed in range(5):
        done = objective.prepare(None, batch, torch.Generator().manual_seed(seed), 1)
        assert objective.count(done) == 1


def test_classify_and_regress():
    """Cross-entropy of classes; the squared error has no 1/2, and is a mean over examples."""
    for name, wanted in [
        (
            "classify",
            lambda scores, labels: functional.cross_entropy(scores, labels, reduction="sum"),
        ),
        (
            "regress",
            lambda scores, labels: functional.mse_loss(scores[:, 0], labels, reduction="sum"),
        ),
    ]:
        network, batch = network_of(name), batch_of(name)
        scores = network.scores(network(batch.ids, batch.lengths), batch.lengths)
        outcome = tiny_objective(name).loss(network, batch)
        torch.testing.assert_close(outcome.loss, wanted(scores, batch.labels))
        assert outcome.count == 8
    hits = (scores[:, 0] - batch.labels).abs().sum()
    assert outcome.metrics["absolute_error"] == pytest.approx(float(hits.detach()), rel=1e-6)


@pytest.mark.parametrize(("name", "value"), [("dpo", math.log(2)), ("kto", 0.5)])
def test_preferences_at_the_reference(name, value):
    """Where nothing has changed yet, the loss is ln 2, or one half."""
    network = network_of(name)
    objective = tiny_objective(name, network_of(name))
    batch = prepared(objective, network, batch_of(name))
    outcome = objective.loss(network, batch)
    assert float(outcome.loss.detach()) / outcome.count == pytest.approx(value, abs=1e-6)
    assert objective.guess() == pytest.approx(value)
    assert batch.baseline == 0


def test_mismatched_prompts():
    """Every prompt is followed by the answer before it; prompts and answers are whole."""
    # Prompts 1 2 | 3, answers 10 11 | 20 21 22, shifted by one.
    batch = Batch(
        torch.tensor([1, 2, 10, 3, 20, 21]),
        torch.tensor([IGNORED, 10, 11, 20, 21, 22]),
        (3, 3),
        torch.tensor([1, 0]),
    )
    done = mismatched(batch)
    assert done.ids.tolist() == [1, 2, 20, 21, 3, 10]
    assert done.targets.tolist() == [IGNORED, 20, 21, 22, 10, 11]
    assert done.lengths == (4, 2)


@pytest.fixture
def recorded():
    """Log-probabilities of 6 answers, and of the reference's."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, generator=generator) * 3 - 20, torch.randn(
        6, generator=generator
    ) * 3 - 20


class _Oracle(SimpleNamespace):
    """What TRL's loss asks of its trainer, with models that say what was recorded."""

    def __init__(self, policy, reference, **settings):
        accelerator = SimpleNamespace(
            device="cpu", gather_for_metrics=lambda x: x, gather=lambda x: x
        )
        super().__init__(
            accelerator=accelerator, aux_loss_enabled=False, precompute_ref_logps=True,
            calculate_KL=True, model=SimpleNamespace(training=True), ref_model=None, _metrics=_Numbers(),
            _total_train_tokens=0, _tp_size=1, beta=0.1, ld_alpha=None, **settings,
        )  # fmt: skip
        self.policy, self.reference = policy, reference


class _Numbers(dict):
    def __missing__(self, key):
        self[key] = _Numbers() if key in {"train", "eval"} else []
        return self[key]


@pytest.mark.filterwarnings("ignore")
def test_dpo_equals_trl(recorded):
    """On the same log-probabilities, to 1e-5."""
    from trl.trainer.dpo_trainer import DPOTrainer

    policy, reference = recorded
    losses, margins = dpo_losses(policy - reference, 0.1)
    chosen_first = torch.cat([policy[0::2], policy[1::2]])
    trainer = _Oracle(
        None, None, f_divergence_type="reverse_kl", loss_types=["sigmoid"], loss_weights=[1.0],
        label_smoothing=0.0, use_weighting=False, args=SimpleNamespace(),
    )  # fmt: skip
    inputs = {
        "input_ids": torch.zeros(6, 3, dtype=torch.long),
        "attention_mask": torch.ones(6, 3, dtype=torch.long),
        "completion_mask": torch.tensor([[0, 0, 1]] * 6),
        "ref_chosen_logps": reference[0::2],
        "ref_rejected_logps": reference[1::2],
    }
    wanted = DPOTrainer._compute_loss(trainer, _Model(chosen_first), inputs, False)
    assert float(losses.mean()) == pytest.approx(float(wanted), abs=1e-5)
    rewards = trainer._metrics["train"]["rewards/margins"][-1]
    assert float(margins.mean()) == pytest.approx(rewards, abs=1e-5)


class _Model:
    """A model whose answers have these log-probabilities."""

    training = True

    def __init__(self, log_probabilities):
        self._values = log_probabilities

    def __call__(self, **_):
        table = torch.zeros(len(self._values), 2)
        table[:, -1] = self._values
        return SimpleNamespace(
            log_probs=table, entropy=table, mean_logits=table, is_top1=table.bool(), aux_loss=None,
        )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shift", [0.0, 2.0, -2.0])
def test_kto_equals_trl(recorded, shift):
    """On the same log-probabilities and estimates of the divergence, above and below zero."""
    from trl.trainer.kto_trainer import KTOTrainer

    policy, reference = recorded
    liked = torch.tensor([1, 0, 0, 1, 1, 0])
    mixed = reference + shift
    divergence = max(0.0, float((mixed - reference).mean()))
    losses = kto_losses(policy - reference, liked, divergence, 0.1)
    trainer = _Oracle(
        None, None, loss_type="kto", desirable_weight=1.0, undesirable_weight=1.0,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
    )  # fmt: skip
    trainer._compute_kl_logps = lambda *_: mixed
    inputs = {
        "input_ids": torch.zeros(6, 3, dtype=torch.long),
        "attention_mask": torch.ones(6, 3, dtype=torch.long),
        "completion_mask": torch.tensor([[0, 0, 1]] * 6),
        "label": liked,
        "ref_logps": reference,
        "ref_KL_logps": reference,
    }
    wanted = KTOTrainer._compute_loss(trainer, _Model(policy), inputs, False)
    assert float(losses.mean()) == pytest.approx(float(wanted), abs=1e-5)


def test_ktos_divergence_is_of_mismatched_answers():
    """The mean log-ratio over the whole step, whatever its parts; never below zero."""
    network, reference = network_of("kto"), network_of("kto", 9)
    objective = tiny_objective("kto", reference)
    batch = batch_of("kto")
    mixed = mismatched(batch)

    def total(model):
        rows = (mixed.targets != IGNORED).nonzero().squeeze(1)
        scores = (model(mixed.ids, mixed.lengths) @ model.head.T).log_softmax(1)
        return float(scores[rows].gather(1, mixed.targets[rows, None]).sum())

    with torch.no_grad():
        wanted = (total(network) - total(reference)) / 8
    values = [prepared(objective, network, batch, parts).baseline for parts in (1, 3)]
    assert values[0] == pytest.approx(values[1], abs=1e-4)
    assert values[0] == pytest.approx(max(0.0, wanted), abs=1e-4)
    swapped = tiny_objective("kto", network)
    other = prepared(swapped, reference, batch).baseline
    assert other == pytest.approx(max(0.0, -wanted), abs=1e-4)
    assert max(values[0], other) > 0


def test_distill_is_hintons():
    """T^2 KL(teacher || student) beside the labels' cross-entropy, over the wanted tokens."""
    network, teacher, batch = network_of("distill"), network_of("distill", 9), batch_of("distill")
    rows = batch.targets != IGNORED
    student = (network(batch.ids, batch.lengths) @ network.head.T)[rows]
    taught = (teacher(batch.ids, batch.lengths) @ teacher.head.T)[rows].softmax(-1)
    for temperature, share in [(1.0, 0.5), (3.0, 0.9), (2.0, 0.0)]:
        objective = tiny_objective(
            "distill", teacher, distill_temperature=temperature, distill_share=share
        )
        soft = (taught.log() / temperature).softmax(-1)
        mine = (student / temperature).log_softmax(-1)
        divergence = (soft * (soft.log() - mine)).sum()
        hard = functional.cross_entropy(student, batch.targets[rows], reduction="sum")
        wanted = (1 - share) * hard + share * temperature**2 * divergence
        torch.testing.assert_close(
            objective.loss(network, batch).loss, wanted, atol=1e-3, rtol=1e-4
        )


@pytest.mark.parametrize("name", ["dpo", "kto", "distill"])
def test_the_other_network_is_needed(name):
    """And said so at once."""
    with pytest.raises(ValueError, match="is needed"):
        tiny_objective(name)


@pytest.mark.parametrize(("parts", "lengths", "wanted"), [
    (2, (4, 4, 4, 4), [(4, 4), (4, 4)]),
    (3, (1, 1, 10), [(1,), (1,), (10,)]),
    (2, (10, 1, 1), [(10,), (1, 1)]),
    (9, (3, 3), [(3,), (3,)]),
    (1, (3, 3), [(3, 3)]),
])  # fmt: skip
def test_splitting(parts, lengths, wanted):
    """Parts of about as many tokens, none empty, nothing lost."""
    total = sum(lengths)
    batch = Batch(
        torch.arange(total), torch.arange(total), lengths, examples=tuple(range(len(lengths)))
    )
    pieces = batch.split(parts)
    assert [piece.lengths for piece in pieces] == wanted
    assert torch.equal(torch.cat([piece.ids for piece in pieces]), batch.ids)
    assert sum((piece.examples for piece in pieces), ()) == batch.examples
