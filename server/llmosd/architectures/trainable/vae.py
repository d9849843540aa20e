"""The variational autoencoder of sentences, to be trained. See `architectures.vae`."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.trainable.encoder_decoder import EncoderDecoder
from llmosd.architectures.trainable.recurrent import in_time, initialize_cells
from llmosd.architectures.trainable.seq2seq_lstm import BothWays, DecoderLayer, turned
from llmosd.architectures.trainable.sides import Side


class Posterior(NamedTuple):
    """What a sentence says of its latent vector: a diagonal Gaussian.

    Attributes:
        mean: (sentences, latent_size).
        log_variance: the same shape; natural logarithm.
    """

    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """Mean + deviation * noise: the reparameterization (Kingma and Welling, 2014).

        `noise` (sentences, latent_size) is standard normal; the draw can be differentiated.
        """
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


class Vae(EncoderDecoder):
    """Embedding, encoder, posterior, decoder, head; dropout between layers alone."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        """Weights are not initialized: see `initialize`."""
        super().__init__(config, dropout)
        self.encoder = _Encoder(config, dropout)
        self.decoder = _Decoder(config, dropout)
        self.add_head()

    def encode(self, x: Tensor, prompts: Side) -> Posterior:
        """Of the sentences' embeddings (rows, hidden)."""
        ahead, backwards = in_time(prompts.layout.positions), turned(prompts)
        for layer in self.encoder.layers:
            x, ends = self.block(layer, x, ahead, backwards)
        # Both directions' last hidden states.
        return Posterior(self.encoder.mean(ends[0]), self.encoder.log_variance(ends[0]))

    def decode(self, x: Tensor, encoded: Posterior, prompts: Side, answers: Side) -> Tensor:
        """(answers' rows, hidden) of their embeddings, around the posterior's mean."""
        del prompts
        return self.around(x, encoded.mean, answers)

    def around(self, x: Tensor, latents: Tensor, answers: Side) -> Tensor:
        """(answers' rows, hidden) around `latents` (sentences, latent_size)."""
        order, layers, size = in_time(answers.layout.positions), self.decoder.layers, x.shape[1]
        first = self.decoder.initial(latents).view(len(latents), len(layers), 2, size)
        counts = torch.tensor(answers.lengths, device=x.device)
        x = x + self.decoder.latent(latents).repeat_interleave(counts, 0)
        for index, layer in enumerate(layers):
            x = self.block(layer, x, order, first[:, index].unbind(1))
        return x

    def variational(
        self,
        ids: Tensor,
        lengths: tuple[int, ...],
        noise: Tensor,
        perturbation: Tensor | None = None,
    ) -> tuple[Posterior, Tensor, Tensor]:
        """A posterior, draws of it, and hidden states around each; see Network.forward.

        Args:
            ids: (tokens,) int64: of each example the sentence, `start_id`, what is written.
            lengths: of the examples.
            noise: (examples, draws, latent_size), standard normal.
            perturbation: (tokens, hidden), added to the embeddings.

        Returns:
            The posterior; (draws, examples, latent_size); (draws, tokens, hidden), zeros within
            the sentences that are read.
        """
        x, prompts, answers = self.read(ids, lengths, perturbation)
        posterior = self.encode(x.index_select(0, prompts.rows), prompts)
        rows, drawn, hidden = x.index_select(0, answers.rows), [], []
        for own in noise.unbind(1):
            drawn.append(posterior.draw(own))
            hidden.append(self.laid(self.around(rows, drawn[-1], answers), answers, len(ids)))
        return posterior, torch.stack(drawn), torch.stack(hidden)

    def initialize(self, generator: Generator) -> None:
        """As recurrent language models begin; products as cells."""
        initialize_cells(self, generator)


class _Encoder(nn.Module):
    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            BothWays(config.hidden_size, dropout) for _ in range(config.encoder_layers)
        )
        self.mean = nn.Linear(config.hidden_size, config.latent_size)
        self.log_variance = nn.Linear(config.hidden_size, config.latent_size)


class _Decoder(nn.Module):
    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        size, latent = config.hidden_size, config.latent_size
        self.initial = nn.Linear(latent, 2 * config.num_layers * size)
        self.latent = nn.Linear(latent, size, bias=False)
        self.layers = nn.ModuleList(DecoderLayer(size, dropout) for _ in range(config.num_layers))
