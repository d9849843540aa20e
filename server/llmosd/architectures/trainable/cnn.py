"""Kim's convolutional network, to be trained. See `architectures.cnn`."""

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.cnn import WIDTHS
from llmosd.architectures.trainable.layout import Layout
from llmosd.architectures.trainable.network import STD, Layered

_EMBEDDING = 0.25


class CNN(Layered):
    """Embedding, filters, maximum over time; dropout of what they found alone, as in the paper.

    Its hidden states are the tokens' embeddings: the rest is the head's, as it sees whole texts.
    """

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        """Weights are not initialized: see `initialize`."""
        super().__init__(config, 0.0)
        hidden, outputs = config.hidden_size, max(1, len(config.labels))
        self.embed_tokens = nn.Embedding(config.vocab_size, hidden)
        self.convs = nn.ModuleDict(
            {str(width): nn.Conv1d(hidden, hidden, width) for width in WIDTHS}
        )
        self.score = nn.Linear(len(WIDTHS) * hidden, outputs)
        self._layers = nn.ModuleList()
        self._feature_dropout = dropout

    @property
    def embedding(self) -> Tensor:
        """(vocabulary, hidden) weights that ids select."""
        return self.embed_tokens.weight

    def embed(self, ids: Tensor, layout: Layout) -> Tensor:
        """(tokens, hidden)."""
        del layout
        return functional.embedding(ids, self.embedding).float()

    def shared(self, layout: Layout) -> None:
        """Nothing: there are no blocks."""
        del layout

    def blocks(self) -> nn.ModuleList:
        """None."""
        return self._layers

    def normalized(self, x: Tensor) -> Tensor:
        """There is no norm."""
        return x

    def scores(self, hidden: Tensor, lengths: tuple[int, ...]) -> Tensor:
        """(examples, labels), or (examples, 1) grades, of (tokens, hidden) embeddings."""
        texts = pad_sequence(list(hidden.split(lengths)), batch_first=True)
        texts = functional.pad(texts, (0, 0, 0, max(0, max(WIDTHS) - texts.shape[1])))
        sizes = torch.tensor(lengths, device=hidden.device).clamp_min(max(WIDTHS))
        found = []
        for width, conv in zip(WIDTHS, self.convs.values(), strict=True):
            filtered = conv(texts.transpose(1, 2)).relu()
            # Windows that reach into the padding; nothing is below zero after relu.
            at = torch.arange(filtered.shape[2], device=hidden.device)
            outside = at > (sizes - width).unsqueeze(1)
            found.append(filtered.masked_fill(outside.unsqueeze(1), 0.0).amax(2))
        features = torch.cat(found, 1)
        features = functional.dropout(features, self._feature_dropout, self.training)
        scores: Tensor = self.score(features)
        return scores.float()

    def initialize(self, generator: Generator) -> None:
        """Embeddings even in -0.25 to 0.25, as in the paper; filters as torch draws them.

        Scores begin near zero, and biases at it, so that the first loss is that of guessing.
        """
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 1:
                    parameter.zero_()
                elif name == "score.weight":
                    parameter.normal_(0.0, STD, generator=generator)
                else:
                    inputs = math.prod(parameter.shape[1:])
                    most = 1 / math.sqrt(inputs) if parameter.dim() == 3 else _EMBEDDING
                    parameter.uniform_(-most, most, generator=generator)
