"""The Llama family, to be trained; and the encoder, which is the same network seeing both ways.

See `architectures.llama`. Touvron et al., 2023; the encoder's objective is BERT's (Devlin et al.,
2019), its shape that of the decoder.
"""

from torch import Tensor, nn
from torch.nn import functional

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.rope import rope_tables
from llmosd.architectures.trainable.attention import attend
from llmosd.architectures.trainable.layout import Layout
from llmosd.architectures.trainable.network import Layered
from llmosd.architectures.trainable.parts import Linear, RMSNorm, narrowed, rotate, silu_multiply

_Rope = tuple[Tensor, Tensor]


class Llama(Layered):
    """Embedding, layers, norm, head."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        """Weights are not initialized: see `initialize`."""
        super().__init__(config, dropout)
        self.model = _Body(config, dropout, causal=self.causal)
        self.register_buffer("_cosine", None, persistent=False)
        self.register_buffer("_sine", None, persistent=False)
        self._cosine: Tensor
        self._sine: Tensor
        self.add_head()

    def fill_buffers(self) -> None:
        """Rotary tables, each (context, 1, head_dim / 2)."""
        cosine, sine = rope_tables(self.config)
        self._cosine, self._sine = cosine.unsqueeze(1), sine.unsqueeze(1)

    @property
    def embedding(self) -> Tensor:
        """(vocabulary, hidden) weights that ids select."""
        return self.model.embed_tokens.weight

    def embed(self, ids: Tensor, layout: Layout) -> Tensor:
        """(tokens, hidden)."""
        del layout
        return functional.embedding(ids, self.embedding).float()

    def shared(self, layout: Layout) -> _Rope:
        """Cosine and sine of every token's position."""
        at = layout.positions
        return self._cosine.index_select(0, at), self._sine.index_select(0, at)

    def blocks(self) -> nn.ModuleList:
        """The layers."""
        return self.model.layers

    def normalized(self, x: Tensor) -> Tensor:
        """The last norm."""
        out: Tensor = self.model.norm(x)
        return out


class _Body(nn.Module):
    """What Hugging Face's names call the model: all but the head."""

    def __init__(self, config: ModelConfig, dropout: float, *, causal: bool) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            Layer(config, dropout, causal=causal) for _ in range(config.num_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)


class Layer(nn.Module):
    """Attention and feed-forward, each with its norm before it and a residual around it."""

    def __init__(self, config: ModelConfig, dropout: float, *, causal: bool) -> None:
        """`causal`: tokens see only what is before them."""
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.self_attn = Attention(config, dropout, causal=causal)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mlp = _FeedForward(config)
        self.dropout = dropout

    def forward(self, x: Tensor, layout: Layout, rope: _Rope) -> Tensor:
        """(tokens, hidden) after the layer."""
        return self.fed(self.attended(x, layout, rope))

    def attended(self, x: Tensor, layout: Layout, rope: _Rope) -> Tensor:
        """The residual after attention."""
        mixed = self.self_attn(narrowed(self.input_layernorm(x)), layout, rope)
        return x + functional.dropout(mixed, self.dropout, self.training)

    def fed(self, x: Tensor) -> Tensor:
        """The residual after the feed-forward network."""
        inner = self.mlp(narrowed(self.post_attention_layernorm(x)))
        return x + functional.dropout(inner, self.dropout, self.training)


class Attention(nn.Module):
    """Of tokens over those of their own example."""

    def __init__(self, config: ModelConfig, dropout: float, *, causal: bool) -> None:
        """`causal`: tokens see only what is before them."""
        super().__init__()
        hidden, size = config.hidden_size, config.head_dim
        queries, keys = config.num_heads * size, config.num_kv_heads * size
        self.q_proj = Linear(hidden, queries, bias=config.qkv_bias)
        self.k_proj = Linear(hidden, keys, bias=config.qkv_bias)
        self.v_proj = Linear(hidden, keys, bias=config.qkv_bias)
        self.o_proj = Linear(queries, hidden, bias=config.output_bias)
        self.q_norm = RMSNorm(size, config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(size, config.norm_eps) if config.qk_norm else None
        self.head_dim = size
        self.window = config.sliding_window
        self.dropout = dropout
        self.causal = causal

    def forward(self, x: Tensor, layout: Layout, rope: _Rope) -> Tensor:
        """(tokens, hidden)."""
        query, key, value = (
            product(x).view(len(x), -1, self.head_dim)
            for product in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.q_norm is not None and self.k_norm is not None:
            query, key = self.q_norm(query), self.k_norm(key)
        query, key = rotate(query, *rope).to(value.dtype), rotate(key, *rope).to(value.dtype)
        dropout = self.dropout if self.training else 0.0
        mixed = attend(
            query, key, value, layout, causal=self.causal, window=self.window, dropout=dropout
        )
        out: Tensor = self.o_proj(mixed)
        return out


class _FeedForward(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj = Linear(hidden, inner, bias=bias)
        self.up_proj = Linear(hidden, inner, bias=bias)
        self.down_proj = Linear(inner, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(silu_multiply(self.gate_proj(x), self.up_proj(x)))
        return out
