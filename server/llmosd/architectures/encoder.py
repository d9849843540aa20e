"""The encoder: the Llama network whose tokens see both what is before and what is after them.

Its objective is BERT's (Devlin et al., 2019), its shape that of the decoder. What a text is judged
by is the mean of its tokens' hidden states.
"""

from dataclasses import replace

import torch
from torch import Tensor

from llmosd.architectures.architecture import Cache, ForwardBatch, LayerCache, Ops, Weights
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.llama import Layer, Llama
from llmosd.architectures.rope import rotate


class _Layer(Layer):
    def attend(
        self,
        heads: Tensor,
        rope: tuple[Tensor, Tensor],
        cache: LayerCache,
        batch: ForwardBatch,
    ) -> Tensor:
        """Over the whole text; `rope` has a row for each token, (rows, 1, head_dim / 2)."""
        turned = heads[:, : heads.shape[1] - self.config.num_kv_heads]
        turned.copy_(rotate(turned, *rope))
        return self.ops.attend(heads, None, cache, batch, 0)


class Encoder(Llama):
    """See Llama. A batch's spans are whole texts."""

    def make_layer(self, prefix: str, config: ModelConfig, weights: Weights, ops: Ops) -> Layer:
        """A layer of the weights after `prefix`."""
        return _Layer(prefix, config, weights, ops)

    def forward(self, batch: ForwardBatch, cache: Cache) -> Tensor:
        """Hidden states (rows, hidden_size); the last row of each text is the mean of its rows."""
        positions = batch.positions.long()
        cosine, sine = (table[positions].unsqueeze(1) for table in self.rope)
        # Attention hides what comes after a row's position: here every row is the last one.
        counts = torch.tensor([count for _, count in batch.spans], device=positions.device)
        lasts = (counts - 1).repeat_interleave(counts).to(batch.positions.dtype)
        hidden = self.run(batch.ids, (cosine, sine), cache, replace(batch, positions=lasts))
        for start, count in batch.spans:
            mean = hidden[start : start + count].float().mean(0)
            hidden[start + count - 1] = mean.to(hidden.dtype)
        return hidden
