"""The Transformer encoder-decoder, to be trained. See `architectures.seq2seq`."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.rope import rope_tables
from llmosd.architectures.trainable.encoder_decoder import EncoderDecoder
from llmosd.architectures.trainable.layout import Layout
from llmosd.architectures.trainable.llama import Attention, Layer
from llmosd.architectures.trainable.parts import RMSNorm
from llmosd.architectures.trainable.sides import Side, look

_Rope = tuple[Tensor, Tensor]


class Seq2Seq(EncoderDecoder):
    """Embedding, encoder, decoder, head."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        """Weights are not initialized: see `initialize`."""
        super().__init__(config, dropout)
        self.encoder = _Stack(config, [
            Layer(config, dropout, causal=False) for _ in range(config.encoder_layers)
        ])  # fmt: skip
        self.decoder = _Stack(config, [
            _DecoderLayer(config, dropout) for _ in range(config.num_layers)
        ])  # fmt: skip
        self.register_buffer("_cosine", None, persistent=False)
        self.register_buffer("_sine", None, persistent=False)
        self._cosine: Tensor
        self._sine: Tensor
        self.add_head()

    def fill_buffers(self) -> None:
        """Rotary tables, each (context, 1, head_dim / 2)."""
        cosine, sine = rope_tables(self.config)
        self._cosine, self._sine = cosine.unsqueeze(1), sine.unsqueeze(1)

    def encode(self, x: Tensor, prompts: Side) -> Tensor:
        """(prompts' rows, hidden) of their embeddings."""
        rope = self._rope(prompts.layout)
        for layer in self.encoder.layers:
            x = self.block(layer, x, prompts.layout, rope)
        out: Tensor = self.encoder.norm(x)
        return out

    def decode(self, x: Tensor, encoded: Tensor, prompts: Side, answers: Side) -> Tensor:
        """(answers' rows, hidden) of their embeddings."""
        rope = self._rope(answers.layout)
        for layer in self.decoder.layers:
            x = self.block(layer, x, encoded, prompts, answers, rope)
        out: Tensor = self.decoder.norm(x)
        return out

    def _rope(self, layout: Layout) -> _Rope:
        at = layout.positions
        return self._cosine.index_select(0, at), self._sine.index_select(0, at)


class _Stack(nn.Module):
    def __init__(self, config: ModelConfig, layers: list[Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)


class _DecoderLayer(Layer):
    """A layer that also attends to the prompt, between itself and its feed-forward network."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__(config, dropout, causal=True)
        self.cross_attention_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.cross_attn = _CrossAttention(config, dropout, causal=False)

    def forward(  # type: ignore[override]  # more to look at
        self, x: Tensor, encoded: Tensor, prompts: Side, answers: Side, rope: _Rope
    ) -> Tensor:
        x = self.attended(x, answers.layout, rope)
        mixed = self.cross_attn(self.cross_attention_layernorm(x), encoded, prompts, answers)
        x = x + functional.dropout(mixed, self.dropout, self.training)
        return self.fed(x)


class _CrossAttention(Attention):
    def forward(  # type: ignore[override]  # two sides
        self, x: Tensor, encoded: Tensor, prompts: Side, answers: Side
    ) -> Tensor:
        query = self.q_proj(x).view(len(x), -1, self.head_dim)
        key, value = (
            product(encoded).view(len(encoded), -1, self.head_dim)
            for product in (self.k_proj, self.v_proj)
        )
        dropout = self.dropout if self.training else 0.0
        out: Tensor = self.o_proj(look(query, key, value, prompts, answers, dropout))
        return out
