"""What every trainable network is: examples end to end in, hidden states out, and a head."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import family_of
from llmosd.architectures.trainable import rest
from llmosd.architectures.trainable.layout import Layout, layout_of

STD = 0.02
"""Of weights that nothing else is known of."""

_INTO_RESIDUAL = ("o_proj.weight", "down_proj.weight", "c_proj.weight")


class Network(nn.Module, ABC):
    """Base of the networks; its parameters' names are those of `families.table.expected_shapes`.

    Attributes:
        config: sizes and switches.
        causal: a token sees nothing of what comes after it.
        checkpointing: keep only the blocks' inputs, and compute the rest again in the backward
            pass (Chen et al., 2016).
    """

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        """`dropout` is a share, of embeddings, attention and what each block adds."""
        super().__init__()
        self.config = config
        self.causal = family_of(config.architecture).causal
        self.checkpointing = False
        self.dropout = dropout

    def add_head(self) -> None:
        """The last of the constructor: heads have the last names."""
        hidden = self.config.hidden_size
        if self.config.head != "language":
            outputs = max(1, len(self.config.labels))
            self.score = nn.Linear(hidden, outputs, bias=False)
        elif not self.config.tie_embeddings:
            self.lm_head = nn.Linear(hidden, self.config.vocab_size, bias=False)

    def fill_buffers(self) -> None:
        """Compute what is no weight: networks are made without memory, then filled."""

    def initialize(self, generator: Generator) -> None:
        """Draw the weights, GPT-2's way (Radford et al., 2019).

        Normal with deviation 0.02, of what is added to the residual 0.02 / sqrt(2 layers); norms
        one, biases zero. The embedding's deviation is at most 0.3 / sqrt(hidden): where it is the
        head too, scores of the first step would otherwise be wide enough to make the loss greater
        than that of guessing.
        """
        residual = STD / math.sqrt(2 * self.config.num_layers)
        head = min(STD, 0.3 / math.sqrt(self.config.hidden_size))
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
                elif parameter.dim() == 1:
                    parameter.fill_(1.0)
                else:
                    std = residual if name.endswith(_INTO_RESIDUAL) else STD
                    wide = parameter is self.embedding or name == "lm_head.weight"
                    parameter.normal_(0.0, head if wide else std, generator=generator)

    @property
    @abstractmethod
    def embedding(self) -> Tensor:
        """(vocabulary, hidden) weights that ids select."""

    @property
    def head(self) -> Tensor:
        """(vocabulary, hidden) weights of the scores of the next token."""
        return self.embedding if self.config.tie_embeddings else self.lm_head.weight

    @abstractmethod
    def forward(
        self, ids: Tensor, lengths: tuple[int, ...], perturbation: Tensor | None = None
    ) -> Tensor:
        """Hidden states after the last norm.

        Args:
            ids: (tokens,) int64, the examples end to end.
            lengths: of the examples.
            perturbation: (tokens, hidden), added to the embeddings.

        Returns:
            (tokens, hidden) float32, or what autocast makes of it.
        """

    def scores(self, hidden: Tensor, lengths: tuple[int, ...]) -> Tensor:
        """(examples, labels), or (examples, 1) grades, of (tokens, hidden) states.

        An encoder's examples are the means of their tokens; a decoder's are their last token, as
        it alone has seen the rest.
        """
        ends = torch.tensor(lengths, device=hidden.device).cumsum(0)
        if self.causal:
            pooled = hidden.index_select(0, ends - 1)
        else:
            parts = hidden.float().split(lengths)
            pooled = torch.stack([part.mean(0) for part in parts])
        scores: Tensor = self.score(pooled)
        return scores.float()


class Layered(Network):
    """A network that is one layer after another, all over the same tokens."""

    def forward(
        self, ids: Tensor, lengths: tuple[int, ...], perturbation: Tensor | None = None
    ) -> Tensor:
        """See Network.forward."""
        x = self.embed(ids, layout_of(lengths, ids.device))
        return self.through(x if perturbation is None else x + perturbation, lengths)

    def through(self, x: Tensor, lengths: tuple[int, ...], shared: Any = None) -> Tensor:
        """Hidden states (tokens, hidden) after the last norm, of what `embed` makes of tokens."""
        layout = layout_of(lengths, x.device)
        x = functional.dropout(x, self.dropout, self.training)
        shared = self.shared(layout) if shared is None else shared
        for block in self.blocks():
            rest.here(x)
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, layout, shared, use_reentrant=False)
            else:
                x = block(x, layout, shared)
        return self.normalized(x)

    @abstractmethod
    def embed(self, ids: Tensor, layout: Layout) -> Tensor:
        """(tokens, hidden) in the type the network computes in."""

    @abstractmethod
    def shared(self, layout: Layout) -> Any:
        """What all blocks need of the layout."""

    @abstractmethod
    def blocks(self) -> nn.ModuleList:
        """Modules that take (x, layout, shared)."""

    @abstractmethod
    def normalized(self, x: Tensor) -> Tensor:
        """The last norm."""


Labelled = tuple[Tensor, tuple[int, ...], Tensor]
"""Examples end to end: (tokens,) int64 ids, the examples' lengths, and (examples,) int64 labels."""


class ClosedForm(Layered):
    """A network whose best weights have a formula: no steps lead to them."""

    @abstractmethod
    def fit(self, examples: Iterable[Labelled]) -> None:
        """Find the weights, in one pass over all examples; raises InvalidDataset."""


def linear_names(network: nn.Module) -> list[str]:
    """Names of the products within blocks: what adapters may sit on."""
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and "." in name and ".lora_" not in name
    ]
