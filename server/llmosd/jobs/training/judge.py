"""The discriminator of a game: a classifier that tells real sequences from drawn ones."""

import msgspec
import torch
from torch import Tensor
from torch.nn import functional

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.trainable.registry import from_scratch
from llmosd.jobs.specs import AdversarialSpec, OptimizerSpec, TrainSpec
from llmosd.jobs.training.optimizers import Optimizers
from llmosd.jobs.training.policy import flat
from llmosd.jobs.training.seeds import WEIGHTS, seed_of
from llmosd.objectives.batch import Batch

_LABELS = ("drawn", "real")
_AT_ONCE = 4096


class Judge:
    """A network of any family that classifies, and its optimizer (Adam)."""

    def __init__(self, generator: ModelConfig, game: AdversarialSpec, spec: TrainSpec) -> None:
        """It knows the generator's words; family and size are the game's."""
        size = game.discriminator_size
        config = msgspec.structs.replace(
            generator,
            architecture=game.discriminator,
            family=game.discriminator,
            hidden_size=size,
            intermediate_size=size,
            num_layers=1,
            num_heads=1,
            num_kv_heads=1,
            head_dim=size,
            head="classify",
            labels=_LABELS,
        )
        seed = seed_of(spec.seed, WEIGHTS, 2)
        self.network = from_scratch(config, seed, game.discriminator_dropout).to(spec.device)
        rate = OptimizerSpec(name="adam", beta2=0.999)
        self.optimizer = Optimizers(self.network.named_parameters(), rate)
        self._rate = game.discriminator_rate

    @torch.no_grad()
    def passes(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """(sequences,) chance of being real, of (sequences, longest) ids."""
        self.network.eval()
        parts = [
            self._scores(flat(ids[rows], lengths[rows]), tuple(lengths[rows].tolist()))
            for rows in torch.arange(len(ids), device=ids.device).split(_AT_ONCE)
        ]
        return torch.cat(parts).softmax(1)[:, 1]

    def learn(self, real: Batch, ids: Tensor, lengths: Tensor, seed: int) -> dict[str, float]:
        """One step, from real sequences, which are a batch's targets, and drawn ones."""
        own = tuple(lengths.tolist())
        both = torch.cat([real.targets, flat(ids, lengths)])
        labels = torch.tensor([1] * len(real.lengths) + [0] * len(own), device=both.device)
        self.network.train()
        torch.manual_seed(seed)
        scores = self._scores(both, real.lengths + own)
        loss = functional.cross_entropy(scores, labels)
        loss.backward()
        self.optimizer.step(self._rate)
        self.optimizer.zero_grad()
        right = (scores.detach().argmax(1) == labels).float().mean()
        return {"discriminator_loss": float(loss.detach()), "discriminator_accuracy": float(right)}

    def _scores(self, ids: Tensor, lengths: tuple[int, ...]) -> Tensor:
        """(sequences, 2) of sequences end to end."""
        return self.network.scores(self.network(ids, lengths), lengths)
