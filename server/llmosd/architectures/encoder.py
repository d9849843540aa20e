"""The encoder: the Llama network whose tokens see both what is before and what is after them.

Its objective is BERT's (Devlin et al., 2019), its shape that of the decoder. What a text is judged
by is the mean of its tokens' hidden states.
"""

from torch import Tensor

from llmosd.architectures.architecture import Cache, ForwardBatch
from llmosd.architectures.llama import Llama


class Encoder(Llama):
    """See Llama. A batch's spans are whole texts."""

    def forward(self, batch: ForwardBatch, cache: Cache) -> Tensor:
        """Hidden states (rows, hidden_size); a text's last row is the mean of its rows.

        Of a text in `batch.unpooled` it is its own.
        """
        hidden = self._ops.embed(self._embedding, batch.ids)
        for layer, layer_cache in zip(self._layers, cache.layers, strict=True):
            hidden = layer.see_all(hidden, self._rope, layer_cache, batch)
        hidden = self._ops.rms_norm(hidden, self._norm, self._config.norm_eps)
        for place, (start, count) in enumerate(batch.spans):
            if place in batch.unpooled:
                continue
            mean = hidden[start : start + count].float().mean(0)
            hidden[start + count - 1] = mean.to(hidden.dtype)
        return hidden
