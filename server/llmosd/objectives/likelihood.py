"""Objectives that ask every wanted token for one word: language_model, sft, masked words."""

import math

import torch
from torch import Generator, Tensor

from llmosd.objectives.batch import IGNORED, Batch, wanted_rows
from llmosd.objectives.cross_entropy import cross_entropy
from llmosd.objectives.objective import Network, Outcome, Settings


class LanguageModel:
    """The next token, of all tokens."""

    shifted = True
    group = 1
    words = True

    def __init__(self, settings: Settings, reference: Network | None = None) -> None:
        """`reference` is not used."""
        del reference
        self._settings = settings

    def prepare(self, network: Network, batch: Batch, generator: Generator, parts: int) -> Batch:
        """Nothing."""
        del network, generator, parts
        return batch

    def count(self, batch: Batch) -> int:
        """Tokens that something is asked of."""
        return int((batch.targets != IGNORED).sum())

    def loss(self, network: Network, batch: Batch) -> Outcome:
        """Sum of cross-entropies; evaluation counts hits of the first guess."""
        rows, targets = wanted_rows(batch)
        more = {} if batch.carry is None else {"carry": batch.carry}
        hidden = network(batch.ids, batch.lengths, batch.perturbation, **more)
        if len(rows) < len(hidden):
            hidden = hidden.index_select(0, rows)
        sums = cross_entropy(hidden, network.head, targets, self._smoothing(network))
        metrics = {"loss": sums.plain}
        if not torch.is_grad_enabled():
            metrics["accuracy"] = float(sums.hits)
        return Outcome(sums.loss, len(rows), metrics)

    def guess(self) -> float | None:
        """Of all words alike: ln of their number."""
        return math.log(self._settings.vocab_size)

    def _smoothing(self, network: Network) -> float:
        return self._settings.label_smoothing if network.training else 0.0


class SupervisedFineTuning(LanguageModel):
    """The next token, of the answers only: `targets` leave the prompts out."""


class MaskedLanguageModel(LanguageModel):
    """Words that are hidden (Devlin et al., 2019).

    Of the tokens chosen, 80 % become the mask, 10 % any word, 10 % stay as they are; all of them
    are asked for.
    """

    shifted = False

    def prepare(self, network: Network, batch: Batch, generator: Generator, parts: int) -> Batch:
        """Choose and hide; the generator alone decides which."""
        del network, parts
        settings = self._settings
        size = len(batch.ids)
        chosen = _draw(size, generator, batch.ids) < settings.mask_share
        if not bool(chosen.any()):
            chosen[int(torch.randint(size, (), generator=generator))] = True
        kind = _draw(size, generator, batch.ids)
        words = torch.randint(settings.vocab_size, (size,), generator=generator)
        ids = torch.where(chosen & (kind < 0.8), settings.mask_id, batch.ids)
        ids = torch.where(chosen & (kind >= 0.9), words.to(ids.device), ids)
        targets = torch.where(chosen, batch.ids, IGNORED)
        return Batch(
            ids, targets, batch.lengths, batch.labels, batch.examples, baseline=batch.baseline
        )


def _draw(size: int, generator: Generator, like: Tensor) -> Tensor:
    return torch.rand(size, generator=generator).to(like.device)
