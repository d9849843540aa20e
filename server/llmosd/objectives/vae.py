"""The variational autoencoder's objective: the evidence lower bound of sentences.

Kingma and Welling, 2014; for text, with what keeps the latent vector in use, Bowman et al., 2016.
"""

import math
from dataclasses import replace
from typing import Any, Protocol, cast

import torch
from torch import Generator, Tensor

from llmosd.objectives.annealing import kl_weight
from llmosd.objectives.batch import IGNORED, Batch, wanted_rows
from llmosd.objectives.cross_entropy import cross_entropy, log_probabilities
from llmosd.objectives.gaussian import kl_divergence, log_density
from llmosd.objectives.objective import Network, Outcome, Settings

ACTIVE = 0.01
"""Variance over the sentences that the mean of an active unit exceeds (Burda et al., 2016)."""


class LatentNetwork(Network, Protocol):
    """See architectures.trainable.vae."""

    config: Any

    def variational(
        self,
        ids: Tensor,
        lengths: tuple[int, ...],
        noise: Tensor,
        perturbation: Tensor | None = None,
    ) -> tuple[Any, Tensor, Tensor]:
        """Posterior (mean, log_variance); draws; hidden states around each draw."""


class Vae:
    """Reconstruction of each sentence, and the divergence of its posterior from the prior.

    What is minimized is the sum over the sentences of their cross-entropy and beta times their KL
    divergence, divided by the tokens written. Beta is `annealing.kl_weight` of the step. Of each
    sentence's dimension, no less than `free_bits` nats are counted (Kingma et al., 2016, who
    take the mean over the step first: this is a sum over sentences, whatever parts a step has).
    Of the decoder's inputs a share of `word_dropout` is hidden behind `mask_id`.

    "loss" is the negative bound itself, beta being 1 and nothing free, in nats per token: what
    a language model's loss is compared with. "reconstruction" and "kl" are nats per sentence.
    """

    shifted = True
    group = 1
    words = True

    def __init__(self, settings: Settings, reference: Network | None = None) -> None:
        """`reference` is not used."""
        del reference
        self._settings = settings

    def prepare(self, network: Network, batch: Batch, generator: Generator, parts: int) -> Batch:
        """Draw the posterior's noise, and the words that the decoder does not see.

        Evaluation draws `importance_samples` times for each sentence, and hides nothing.
        """
        del parts
        settings, size = self._settings, cast("LatentNetwork", network).config.latent_size
        draws = 1 if network.training else settings.importance_samples
        noise = torch.randn(len(batch.lengths), draws, size, generator=generator)
        weight = kl_weight(
            settings.kl_schedule,
            batch.step,
            batch.steps,
            weight=settings.kl_weight,
            warmup=settings.kl_warmup_steps,
            cycles=settings.kl_cycles,
        )
        ids = batch.ids
        if network.training and settings.word_dropout:
            hidden = torch.rand(len(ids), generator=generator).to(ids.device)
            # The token that begins an answer is no word: what comes after one that is asked for.
            follows = torch.cat([ids.new_full((1,), IGNORED), batch.targets[:-1]]) != IGNORED
            starts = torch.tensor(batch.lengths, device=ids.device).cumsum(0)[:-1]
            follows[starts] = False
            ids = torch.where(follows & (hidden < settings.word_dropout), settings.mask_id, ids)
        return replace(
            batch,
            ids=ids,
            noise=noise.to(ids.device),
            baseline=weight,
            tokens_per_example=self.count(batch) / len(batch.lengths),
        )

    def count(self, batch: Batch) -> int:
        """Tokens written: those of the sentences, and their ends."""
        return int((batch.targets != IGNORED).sum())

    def loss(self, network: Network, batch: Batch) -> Outcome:
        """The sum over the sentences; evaluation has the sums of `summarize`."""
        assert batch.noise is not None
        rows, targets = wanted_rows(batch)
        posterior, draws, hidden = cast("LatentNetwork", network).variational(
            batch.ids, batch.lengths, batch.noise, batch.perturbation
        )
        mean, log_variance = (each.float() for each in posterior)
        smoothing = self._settings.label_smoothing if network.training else 0.0
        sums = [cross_entropy(each[rows], network.head, targets, smoothing) for each in hidden]
        learned = torch.stack([each.loss for each in sums]).mean()
        plain = sum(each.plain for each in sums) / len(sums)
        divergence = kl_divergence(mean, log_variance)
        counted = divergence.clamp_min(self._settings.free_bits) if network.training else divergence
        kl = float(divergence.detach().sum())
        metrics = {"loss": plain + kl}
        if not torch.is_grad_enabled():
            evidence = self._evidence(network, batch, hidden, draws, (mean, log_variance))
            return Outcome(
                learned, len(rows), metrics, _sums(plain, kl, mean.double(), evidence.double())
            )
        # The loop divides by tokens; these are told per sentence.
        share = batch.tokens_per_example
        metrics |= {"reconstruction": plain * share, "kl": kl * share}
        metrics["kl_weight"] = batch.baseline * len(rows)
        return Outcome(learned + batch.baseline * counted.sum(), len(rows), metrics)

    def summarize(self, sums: dict[str, Tensor]) -> dict[str, float]:
        """Of an evaluation: figures per sentence, and of the latent vector.

        "iwae" is the negative importance-weighted bound, -log mean(p(x, z) / q(z|x)) over the
        draws, in nats per sentence (Burda et al., 2016): the more draws, the closer it is to the
        sentence's -log p(x). "active_units" are dimensions whose mean has a variance over the
        sentences of more than ACTIVE.
        """
        count = float(sums["sentences"])
        variance = sums["squares"] / count - (sums["means"] / count).square()
        figures = {name: float(sums[name]) / count for name in ("reconstruction", "kl", "iwae")}
        return figures | {"active_units": float((variance > ACTIVE).sum())}

    def guess(self) -> float | None:
        """Of all words alike, the posterior being the prior: ln of their number."""
        return math.log(self._settings.vocab_size)

    def _evidence(
        self,
        network: Network,
        batch: Batch,
        hidden: Tensor,
        draws: Tensor,
        posterior: tuple[Tensor, Tensor],
    ) -> Tensor:
        """(examples,) the importance-weighted bounds of log p(x)."""
        rows, targets = wanted_rows(batch)
        owners, logs = batch.owners()[rows], []
        zero = torch.zeros_like(draws[0])
        for own, z in zip(hidden, draws.float(), strict=True):
            words = log_probabilities(own[rows], network.head, targets)
            sentence = words.new_zeros(len(z)).index_add(0, owners, words)
            logs.append(sentence + log_density(z, zero, zero) - log_density(z, *posterior))
        return torch.logsumexp(torch.stack(logs), 0) - math.log(len(logs))


def _sums(plain: float, kl: float, mean: Tensor, evidence: Tensor) -> dict[str, Tensor]:
    return {
        "sentences": torch.tensor(float(len(mean))),
        "reconstruction": torch.tensor(plain, dtype=torch.float64),
        "kl": torch.tensor(kl, dtype=torch.float64),
        "iwae": -evidence.sum().cpu(),
        "means": mean.sum(0).cpu(),
        "squares": mean.square().sum(0).cpu(),
    }
