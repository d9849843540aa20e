"""Small data, specs and runs for tests of training; `import tiny_training` finds it."""

import msgspec
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models

from llmosd.architectures.config import ModelConfig
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.jobs.specs import OptimizerSpec, ScheduleSpec, TrainSpec
from llmosd.jobs.training.batches import Batches, Examples, Rules
from llmosd.jobs.training.loop import Trainer
from llmosd.jobs.training.result import ModelFiles
from llmosd.jobs.training.tracks import Tracks
from llmosd.objectives.objective import Settings
from llmosd.objectives.registry import EVERY_TOKEN, OBJECTIVES

WORDS = 50
START = 0
SHAPE = {"num_layers": 2, "hidden_size": 32, "num_heads": 4, "context_length": 64}


def tiny_config(architecture="llama", **changes):
    values = {
        "architecture": architecture, "family": architecture, "vocab_size": WORDS,
        "hidden_size": 32, "intermediate_size": 64, "num_layers": 2, "num_heads": 4,
        "num_kv_heads": 4 if architecture == "gpt2" else 2, "head_dim": 8, "context_length": 128,
        "norm_eps": 1e-5, "tie_embeddings": True,
    }  # fmt: skip
    return ModelConfig(**(values | changes))


def tiny_data(count=40, *, seed=0, longest=20, labels=None, words=WORDS, grades=False):
    """Examples whose next token is mostly the last one plus one: something to learn.

    Prompts are the first third of each. `labels` is the number of classes, the example's first
    token modulo it.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        length = int(rng.integers(4, longest + 1))
        row = (rng.integers(words) + np.arange(length)) % words
        noise = rng.random(length) < 0.1
        row[noise] = rng.integers(words, size=int(noise.sum()))
        rows.append(row)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    mask = np.concatenate([np.arange(len(row)) >= max(1, len(row) // 3) for row in rows])
    first = np.array([row[0] for row in rows])
    values = None
    if labels:
        values = (first % labels).astype(np.int64)
    if grades:
        values = (first / words).astype(np.float32)
    return TokenizedDataset(
        np.concatenate(rows).astype(np.uint16),
        offsets.astype(np.int64),
        mask.astype(np.uint8),
        values,
        tuple(f"class {at}" for at in range(labels or 0)),
        digest=f"sha256:{seed}",
    )


def tiny_sentences(count=40, *, seed=0, longest=12):
    """Sentences that are to be written after they were read; START ends both halves."""
    rng = np.random.default_rng(seed)
    rows, masks = [], []
    for _ in range(count):
        length = int(rng.integers(2, longest + 1))
        words = (rng.integers(WORDS - 1) + np.arange(length)) % (WORDS - 1) + 1
        rows.append([*words, START, *words, START])
        masks.append([0] * (length + 1) + [1] * (length + 1))
    return TokenizedDataset(
        np.concatenate(rows).astype(np.uint16),
        np.cumsum([0, *map(len, rows)]).astype(np.int64),
        np.concatenate(masks).astype(np.uint8),
        digest=f"sha256:sentences-{seed}",
    )


def tiny_text(tokens=2000, seed=0):
    """One long document of the same kind."""
    rng = np.random.default_rng(seed)
    ids = (np.arange(tokens) + rng.integers(0, 2, tokens).cumsum()) % WORDS
    return TokenizedDataset(
        ids.astype(np.uint16), np.array([0, tokens]), np.ones(tokens, np.uint8), digest="sha256:t"
    )


def tiny_spec(**changes):
    values = {
        "model_id": "tiny", "family": "llama", "shape": SHAPE, "dataset": "", "dataset_name": "d",
        "sequence_length": 32, "batch_size": 4, "steps": 6, "log_every": 1, "checkpoint_every": 2,
        "optimizer": OptimizerSpec(learning_rate=1e-2), "schedule": ScheduleSpec(warmup_steps=1),
    }  # fmt: skip
    return TrainSpec(**(values | changes))


def tiny_files():
    """A tokenizer of WORDS one-letter words, and nothing said about generation."""
    words = {chr(0x4E00 + at): at for at in range(WORDS)}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.decoder = decoders.Fuse()
    return ModelFiles(tokenizer.to_str().encode(), b'{"temperature": 0.0}', None)


def tiny_batch(count=6, *, seed=0, shifted=True, labels=None, every_token=False, group=1, **data):
    """A batch of `tiny_data`'s first examples."""
    rules = Rules(shifted, group, every_token, 64)
    examples = Examples(tiny_data(count, seed=seed, labels=labels, **data), rules)
    return examples.batch(np.arange(count))


def sentence_batch(count=6, *, seed=0):
    """A batch of `tiny_sentences`' first ones."""
    examples = Examples(tiny_sentences(count, seed=seed), Rules(True, 1, False, 64))
    return examples.batch(np.arange(count))


def tiny_objective(name, other=None, **changes):
    values = {"vocab_size": WORDS, "labels": 3, "mask_id": WORDS - 1}
    return OBJECTIVES[name](Settings(**(values | changes)), other)


def tiny_trainer(spec, network, data, *, validation=None, other=None, events=None, labels=3):
    """The loop, without files."""
    latent = msgspec.structs.asdict(spec.latent)
    words = network.config.vocab_size
    objective = tiny_objective(
        spec.objective, other, labels=labels, beta=spec.beta,
        vocab_size=words, mask_id=words - 1, **latent,
    )  # fmt: skip
    rules = Rules(
        objective.shifted, objective.group, spec.objective in EVERY_TOKEN, spec.sequence_length
    )
    held_out = None if validation is None else Examples(validation, rules)
    examples = Examples(data, rules)
    tracks = spec.sampling == "tracks"
    batches = Tracks(examples, spec.batch_size) if tracks else Batches(examples, spec)
    said = events or (lambda _event: None)
    return Trainer(network, objective, batches, held_out, spec, spec.steps, said)


def gradients(network):
    return {
        name: each.grad.clone()
        for name, each in network.named_parameters()
        if each.grad is not None
    }


def weights_of(network):
    return {name: each.detach().clone() for name, each in network.named_parameters()}


def assert_same_bits(one, two):
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
