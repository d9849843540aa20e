"""The variational autoencoder of sentences (Bowman et al., 2016; Kingma and Welling, 2014).

An encoder of LSTM layers reads the prompt from both sides. Its last hidden states give the mean
and the logarithm of the variance of a Gaussian posterior over the latent vector z. The decoder is
a language model of LSTM layers whose first states are a linear function of z, another of which is
added to each of its inputs. What is written to a prompt is written around the posterior's mean;
where `ForwardBatch.latents` has a vector, around that.
"""

import torch
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch, Ops, Vectors, Weights
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.encoder_lstm import LstmEncoder
from llmosd.architectures.head import head_weight
from llmosd.architectures.recurrent import Layer, walk_of
from llmosd.architectures.spans import Halves, halves_of


class Vae:
    """Embedding, encoder, posterior, decoder, head.

    A sequence's vectors are its states, then the posterior's mean and log-variance, then what z
    adds to inputs, then the prompt's length.
    """

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops) -> None:
        """Take the weights by name; see Architecture."""
        self._config = config
        self._ops = ops
        embedding = weights("embed_tokens.weight")
        self._embedding = ops.table(embedding)
        self._head = ops.weight(head_weight(config, weights, embedding))
        self._encoder = LstmEncoder(config.encoder_layers, weights, ops)
        both = [f"encoder.{name}" for name in ("mean", "log_variance")]
        self._posterior = ops.weight(torch.cat([weights(f"{name}.weight") for name in both]))
        self._posterior_bias = ops.vector(torch.cat([weights(f"{name}.bias") for name in both]))
        self._initial = ops.weight(weights("decoder.initial.weight"))
        self._initial_bias = ops.vector(weights("decoder.initial.bias"))
        self._latent = ops.weight(weights("decoder.latent.weight"))
        self._decoder = [
            Layer("lstm", weights, ops, f"decoder.layers.{index}.rnn.")
            for index in range(config.num_layers)
        ]

    def forward(self, batch: ForwardBatch, cache: Vectors) -> Tensor:
        """Hidden states (rows, hidden_size); zeros within prompts."""
        lengths = cache.vectors[:, -1, 0]
        halves = halves_of(batch, lengths, self._config.start_id, cache.block_tokens)
        if halves.source is not None:
            self._read(halves, batch.latents, cache)
        target = halves.target
        counts = torch.tensor([count for _, count in target.spans])
        added = cache.vectors[target.tables[:, 0].long(), -2].repeat_interleave(counts, 0)
        hidden = self._ops.embed(self._embedding, target.ids)
        hidden = hidden + added.to(hidden.dtype)
        walk = walk_of(target)
        # Nobody begins with zeros: the latent vector has said with what.
        walk = walk._replace(begins=torch.zeros_like(walk.begins))
        for index, layer in enumerate(self._decoder):
            hidden = layer.forward(hidden, cache.vectors[:, 2 * index : 2 * index + 2], walk)
        out = hidden.new_zeros(len(batch.ids), hidden.shape[1])
        out[halves.rows] = hidden
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (rows, vocab_size) of the next token."""
        return self._ops.linear(hidden, self._head, None)

    def posterior(self, cache: Vectors, slot: int) -> Tensor:
        """(2 * latent_size,) float32: mean and log-variance of the prompt of a sequence."""
        states = 2 * self._config.num_layers
        return cache.vectors[slot, states:-2].flatten()[: 2 * self._config.latent_size]

    def _read(self, halves: Halves, latents: dict[int, list[float]], cache: Vectors) -> None:
        """Encode prompts: leave their posteriors, the decoder's first states, and what is added."""
        ops, config, source = self._ops, self._config, halves.source
        assert source is not None
        slots = source.tables[:, 0].long()
        encoded = self._encoder.read(ops.embed(self._embedding, source.ids), source)
        ends = encoded.states[-1][:, 0].to(encoded.outputs.dtype).contiguous()
        posterior = ops.linear(ends, self._posterior, self._posterior_bias)
        z = posterior[:, : config.latent_size].contiguous()
        for row, sequence in enumerate(halves.readers.tolist()):
            if sequence in latents:
                z[row] = torch.tensor(latents[sequence])
        size, states = config.hidden_size, 2 * config.num_layers
        kept = z.new_zeros(len(z), (cache.vectors.shape[1] - states - 2) * size)
        kept[:, : posterior.shape[1]] = posterior
        first = ops.linear(z, self._initial, self._initial_bias)
        added = ops.linear(z, self._latent, None)
        every = torch.cat([first, kept, added], 1).float()
        cache.vectors[slots, :-1] = every.view(len(z), -1, size)
