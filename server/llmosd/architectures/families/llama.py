"""The Llama family, and the same network that also sees what comes after a token.

Names are those of Hugging Face's modules.
"""

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.family import BIDIRECTIONAL, DECODER, FLOATS, Family, Shapes
from llmosd.architectures.families.parts import head, linear


def _shapes(config: ModelConfig) -> Shapes:
    hidden, vocab = config.hidden_size, config.vocab_size
    shapes: Shapes = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}"
        shapes[f"{prefix}.input_layernorm.weight"] = (hidden,)
        shapes |= attention(config, f"{prefix}.self_attn")
        shapes[f"{prefix}.post_attention_layernorm.weight"] = (hidden,)
        shapes |= mlp(config, f"{prefix}.mlp")
    shapes["model.norm.weight"] = (hidden,)
    return shapes | head(config)


def attention(config: ModelConfig, prefix: str) -> Shapes:
    """Queries, keys, values, and what comes out."""
    queries = config.num_heads * config.head_dim
    keys = config.num_kv_heads * config.head_dim
    shapes: Shapes = {}
    for name, outputs in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
        shapes |= linear(f"{prefix}.{name}", outputs, config.hidden_size, bias=config.qkv_bias)
    if config.qk_norm:
        shapes[f"{prefix}.q_norm.weight"] = (config.head_dim,)
        shapes[f"{prefix}.k_norm.weight"] = (config.head_dim,)
    return shapes | linear(f"{prefix}.o_proj", config.hidden_size, queries, bias=config.output_bias)


def mlp(config: ModelConfig, prefix: str) -> Shapes:
    """The gated feed-forward network."""
    hidden, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
    return (
        linear(f"{prefix}.gate_proj", inner, hidden, bias=bias)
        | linear(f"{prefix}.up_proj", inner, hidden, bias=bias)
        | linear(f"{prefix}.down_proj", hidden, inner, bias=bias)
    )


def gated_inner(hidden: int) -> int:
    """Three matrices of this size are two of four times the hidden size (Shazeer, 2020)."""
    return -(-8 * hidden // 3 // 32) * 32


PRODUCTS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "output": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
_DEFAULTS = {"norm_eps": 1e-5, "activation": "silu", "tie_embeddings": True}

LLAMA = Family(
    name="llama",
    shapes=_shapes,
    network="llmosd.architectures.llama:Llama",
    trainable="llmosd.architectures.trainable.llama:Llama",
    served={"cpu": (*FLOATS, "int8", "int4"), "cuda": FLOATS},
    objectives=DECODER,
    defaults=_DEFAULTS,
    inner=gated_inner,
    products=PRODUCTS,
    embeds="last",
)
ENCODER = Family(
    name="encoder",
    shapes=_shapes,
    network="llmosd.architectures.encoder:Encoder",
    trainable="llmosd.architectures.trainable.llama:Llama",
    served={"cpu": FLOATS},
    objectives=BIDIRECTIONAL,
    defaults=_DEFAULTS,
    inner=gated_inner,
    whole=True,
    causal=False,
    embeds="mean",
)
