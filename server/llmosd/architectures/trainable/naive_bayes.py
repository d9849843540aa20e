"""Multinomial naive Bayes, to be counted. See `architectures.naive_bayes`."""

from collections.abc import Iterable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.trainable import rest
from llmosd.architectures.trainable.layout import Layout
from llmosd.architectures.trainable.network import ClosedForm, Labelled
from llmosd.errors import InvalidDataset


class NaiveBayes(ClosedForm):
    """Two tables; a token's hidden state is its log-probability under each label."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        """Weights are not initialized: see `initialize`."""
        super().__init__(config, dropout)
        labels = max(1, len(config.labels))
        self.class_log_prior = nn.Parameter(torch.empty(labels))
        self.feature_log_prob = nn.Parameter(torch.empty(config.vocab_size, labels))
        self._layers = nn.ModuleList()

    def fit(self, examples: Iterable[Labelled]) -> None:
        """Count, and add one to the count of every token under every label (Laplace).

        Raises:
            InvalidDataset: a label that no example has.
        """
        words, labels = self.feature_log_prob.shape
        device = self.feature_log_prob.device
        tokens = torch.zeros(words * labels, dtype=torch.int64, device=device)
        texts = torch.zeros(labels, dtype=torch.int64, device=device)
        for ids, lengths, own in examples:
            rest.here(ids)
            each = own.repeat_interleave(torch.tensor(lengths, device=device))
            tokens += torch.bincount(ids * labels + each, minlength=words * labels)
            texts += torch.bincount(own, minlength=labels)
        if not texts.all():
            missing = self.config.labels[int((texts == 0).nonzero()[0])]
            raise InvalidDataset(f'label "{missing}" is of no row to train on')
        smoothed = tokens.view(words, labels).double() + 1
        with torch.no_grad():
            self.class_log_prior.copy_((texts.double() / texts.sum()).log())
            self.feature_log_prob.copy_((smoothed / smoothed.sum(0)).log())

    def initialize(self, generator: Generator) -> None:
        """All labels, and all tokens, alike."""
        del generator
        words, labels = self.feature_log_prob.shape
        with torch.no_grad():
            self.class_log_prior.fill_(1 / labels).log_()
            self.feature_log_prob.fill_(1 / words).log_()

    @property
    def embedding(self) -> Tensor:
        """(vocabulary, labels) weights that ids select."""
        return self.feature_log_prob

    def embed(self, ids: Tensor, layout: Layout) -> Tensor:
        """(tokens, labels)."""
        del layout
        return functional.embedding(ids, self.feature_log_prob)

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
        """(examples, labels) of (tokens, labels)."""
        sums = torch.stack([part.sum(0) for part in hidden.double().split(lengths)])
        return (self.class_log_prior + sums).float()
