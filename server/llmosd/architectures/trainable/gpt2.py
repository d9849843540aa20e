"""The GPT-2 shape, to be trained (Radford et al., 2019). See `architectures.gpt2`."""

from torch import Tensor, nn
from torch.nn import functional

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.trainable.attention import attend
from llmosd.architectures.trainable.layout import Layout
from llmosd.architectures.trainable.network import Layered
from llmosd.architectures.trainable.parts import Linear


class GPT2(Layered):
    """Embeddings of token and position, blocks, norm, head."""

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        """Weights are not initialized: see `initialize`."""
        super().__init__(config, dropout)
        self.transformer = _Body(config, dropout)
        self.add_head()

    @property
    def embedding(self) -> Tensor:
        """(vocabulary, hidden) weights that ids select."""
        return self.transformer.wte.weight

    def embed(self, ids: Tensor, layout: Layout) -> Tensor:
        """(tokens, hidden): of the token and of its position."""
        tokens = functional.embedding(ids, self.embedding).float()
        positions = functional.embedding(layout.positions, self.transformer.wpe.weight)
        return tokens + positions.float()

    def shared(self, layout: Layout) -> None:
        """Nothing: positions are in the embeddings."""
        del layout

    def blocks(self) -> nn.ModuleList:
        """The blocks."""
        return self.transformer.h

    def normalized(self, x: Tensor) -> Tensor:
        """The last norm."""
        out: Tensor = self.transformer.ln_f(x)
        return out


class _Body(nn.Module):
    """What Hugging Face's names call the transformer: all but the head."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.hidden_size)
        self.wpe = nn.Embedding(config.context_length, config.hidden_size)
        self.h = nn.ModuleList(_Block(config, dropout) for _ in range(config.num_layers))
        self.ln_f = _norm(config)


class _Block(nn.Module):
    """Attention and feed-forward, each with its norm before it and a residual around it."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.ln_1 = _norm(config)
        self.attn = _Attention(config, dropout)
        self.ln_2 = _norm(config)
        self.mlp = _FeedForward(config)
        self.dropout = dropout

    def forward(self, x: Tensor, layout: Layout, shared: None) -> Tensor:
        del shared
        mixed = self.attn(self.ln_1(x), layout)
        x = x + functional.dropout(mixed, self.dropout, self.training)
        inner = self.mlp(self.ln_2(x))
        return x + functional.dropout(inner, self.dropout, self.training)


class _Attention(nn.Module):
    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.c_attn = Linear(hidden, 3 * hidden, bias=config.qkv_bias)
        self.c_proj = Linear(hidden, hidden, bias=config.output_bias)
        self.heads = config.num_heads
        self.dropout = dropout

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        query, key, value = self.c_attn(x).view(len(x), 3, self.heads, -1).unbind(1)
        dropout = self.dropout if self.training else 0.0
        out: Tensor = self.c_proj(attend(query, key, value, layout, causal=True, dropout=dropout))
        return out


class _FeedForward(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.c_fc = Linear(hidden, inner, bias=bias)
        self.c_proj = Linear(inner, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh"))
        return out


def _norm(config: ModelConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, config.norm_eps, bias=config.norm_bias)
