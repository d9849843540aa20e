"""Encoder-decoders: a network reads the prompt from both sides, another writes the answer.

A Transformer (Vaswani et al., 2017) of the Llama family's layers, and one of LSTM layers with
attention (Luong et al., 2015).
"""

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.family import FLOATS, TRANSFORMER_SIZES, Family, Memory, Shapes
from llmosd.architectures.families.llama import attention, gated_inner, mlp
from llmosd.architectures.families.parts import head, linear
from llmosd.architectures.families.recurrent import layer_shapes
from llmosd.errors import InvalidField

# They are asked for the answers of pairs alone; the rest compares with, or learns from, decoders.
_OBJECTIVES = frozenset({"sft"})


def _shapes(config: ModelConfig) -> Shapes:
    hidden = config.hidden_size
    shapes: Shapes = {"embed_tokens.weight": (config.vocab_size, hidden)}
    for layer in range(config.encoder_layers):
        shapes |= _layer(config, f"encoder.layers.{layer}")
    shapes["encoder.norm.weight"] = (hidden,)
    for layer in range(config.num_layers):
        prefix = f"decoder.layers.{layer}"
        shapes |= _layer(config, prefix)
        shapes[f"{prefix}.cross_attention_layernorm.weight"] = (hidden,)
        shapes |= attention(config, f"{prefix}.cross_attn")
    shapes["decoder.norm.weight"] = (hidden,)
    return shapes | head(config)


def _layer(config: ModelConfig, prefix: str) -> Shapes:
    hidden = config.hidden_size
    return (
        {f"{prefix}.input_layernorm.weight": (hidden,)}
        | attention(config, f"{prefix}.self_attn")
        | {f"{prefix}.post_attention_layernorm.weight": (hidden,)}
        | mlp(config, f"{prefix}.mlp")
    )


def _memory(config: ModelConfig) -> Memory:
    # Of the answer itself, and of the prompt; and how long that is.
    return Memory(2 * config.num_layers, 1)


def _lstm_shapes(config: ModelConfig) -> Shapes:
    hidden = config.hidden_size
    shapes: Shapes = {"embed_tokens.weight": (config.vocab_size, hidden)}
    shapes |= both_ways(config)
    for layer in range(config.num_layers):
        shapes |= layer_shapes(f"decoder.layers.{layer}.rnn", 4 * hidden, hidden, hidden)
    for name in ("q_proj", "k_proj", "v_proj"):
        shapes |= linear(f"decoder.attention.{name}", hidden, hidden, bias=False)
    for name in ("context_proj", "state_proj"):
        shapes |= linear(f"decoder.{name}", hidden, hidden, bias=False)
    return shapes | head(config)


def both_ways(config: ModelConfig) -> Shapes:
    """An encoder of LSTM layers that read from both sides, half of the hidden size each."""
    hidden = config.hidden_size
    if hidden % 2:
        raise InvalidField.of("shape.hidden_size", "must be even: half is read from each side")
    shapes: Shapes = {}
    for layer in range(config.encoder_layers):
        for direction in ("ahead", "back"):
            prefix = f"encoder.layers.{layer}.{direction}"
            shapes |= layer_shapes(prefix, 4 * hidden // 2, hidden, hidden // 2)
    return shapes


def _lstm_memory(config: ModelConfig) -> Memory:
    # The encoder's outputs; hidden and cell states, and the prompt's length.
    return Memory(1, 2 * config.num_layers + 1)


SEQ2SEQ = Family(
    name="seq2seq",
    shapes=_shapes,
    network="llmosd.architectures.seq2seq:Seq2Seq",
    trainable="llmosd.architectures.trainable.seq2seq:Seq2Seq",
    served={"cpu": FLOATS},
    objectives=_OBJECTIVES,
    defaults={
        "norm_eps": 1e-5,
        "activation": "silu",
        "tie_embeddings": True,
        "num_layers": 3,
        "encoder_layers": 3,
    },
    sizes=TRANSFORMER_SIZES | {"encoder_layers"},
    inner=gated_inner,
    memory=_memory,
    adapters=False,
    whole=True,
    starts=True,
)
SEQ2SEQ_LSTM = Family(
    name="seq2seq-lstm",
    shapes=_lstm_shapes,
    network="llmosd.architectures.seq2seq_lstm:Seq2SeqLstm",
    trainable="llmosd.architectures.trainable.seq2seq_lstm:Seq2SeqLstm",
    served={"cpu": FLOATS},
    objectives=_OBJECTIVES,
    defaults={
        "norm_eps": 1e-5,
        "tie_embeddings": True,
        "num_layers": 2,
        "encoder_layers": 2,
        "num_heads": 4,
    },
    sizes=frozenset({
        "hidden_size", "num_layers", "encoder_layers", "num_heads", "context_length",
        "tie_embeddings",
    }),
    memory=_lstm_memory,
    adapters=False,
    whole=True,
    starts=True,
)  # fmt: skip
