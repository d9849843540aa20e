"""What the networks share that read a prompt first, and then write an answer."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.trainable import rest
from llmosd.architectures.trainable.network import Network
from llmosd.architectures.trainable.sides import Side, sides_of


class EncoderDecoder(Network):
    """An embedding for both sides, an encoder, a decoder, a head."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        """Weights are not initialized: see `initialize`."""
        super().__init__(config, dropout)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)

    @property
    def embedding(self) -> Tensor:
        """(vocabulary, hidden) weights that ids select."""
        return self.embed_tokens.weight

    def forward(
        self, ids: Tensor, lengths: tuple[int, ...], perturbation: Tensor | None = None
    ) -> Tensor:
        """Hidden states, zeros within prompts; see Network.forward."""
        x, prompts, answers = self.read(ids, lengths, perturbation)
        encoded = self.encode(x.index_select(0, prompts.rows), prompts)
        decoded = self.decode(x.index_select(0, answers.rows), encoded, prompts, answers)
        return self.laid(decoded, answers, len(ids))

    def read(
        self, ids: Tensor, lengths: tuple[int, ...], perturbation: Tensor | None
    ) -> tuple[Tensor, Side, Side]:
        """(tokens, hidden) embeddings, and which of them are prompts' and answers'."""
        prompts, answers = sides_of(ids, lengths, self.config.start_id)
        x = functional.embedding(ids, self.embedding).float()
        if perturbation is not None:
            x = x + perturbation
        return functional.dropout(x, self.dropout, self.training), prompts, answers

    def laid(self, decoded: Tensor, answers: Side, tokens: int) -> Tensor:
        """(tokens, hidden): the answers' rows in their places, zeros elsewhere."""
        out = decoded.new_zeros(tokens, decoded.shape[1])
        return out.index_copy(0, answers.rows, decoded)

    @abstractmethod
    def encode(self, x: Tensor, prompts: Side) -> Any:
        """What the decoder needs of the prompts' embeddings (rows, hidden)."""

    @abstractmethod
    def decode(self, x: Tensor, encoded: Any, prompts: Side, answers: Side) -> Tensor:
        """(answers' rows, hidden) of the answers' embeddings."""

    def block(self, layer: nn.Module, x: Tensor, *more: Any) -> Tensor:
        """One layer; its insides are computed again in the backward pass, where that is wanted."""
        rest.here(x)
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(layer, x, *more, use_reentrant=False)
        out: Tensor = layer(x, *more)
        return out
