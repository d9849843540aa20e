"""Which weights an architecture has: names and shapes, known before any file is opened.

Names are those of Hugging Face's modules, for recurrent layers torch's. All matrices are as
torch.nn.Linear keeps them, [outputs, inputs]: GPT-2's too, which Hugging Face keeps as Conv1D,
[inputs, outputs]; the importer transposes them once.
"""

from collections.abc import Callable

from llmosd.architectures.config import ModelConfig

Shapes = dict[str, tuple[int, ...]]


def expected_shapes(config: ModelConfig) -> Shapes:
    """Every weight of the model, by name, in the order of the forward pass.

    Raises KeyError for an architecture that is not in the table.
    """
    return _ARCHITECTURES[config.architecture](config)


def parameter_count(config: ModelConfig) -> int:
    """The number of scalars in all weights."""
    total = 0
    for shape in expected_shapes(config).values():
        size = 1
        for length in shape:
            size *= length
        total += size
    return total


def _llama(config: ModelConfig) -> Shapes:
    hidden, vocab = config.hidden_size, config.vocab_size
    shapes: Shapes = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}"
        shapes[f"{prefix}.input_layernorm.weight"] = (hidden,)
        shapes |= _llama_attention(config, f"{prefix}.self_attn")
        shapes[f"{prefix}.post_attention_layernorm.weight"] = (hidden,)
        shapes |= _llama_mlp(config, f"{prefix}.mlp")
    shapes["model.norm.weight"] = (hidden,)
    return shapes | _head(config)


def _llama_attention(config: ModelConfig, prefix: str) -> Shapes:
    queries = config.num_heads * config.head_dim
    keys = config.num_kv_heads * config.head_dim
    shapes: Shapes = {}
    for name, outputs in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
        shapes |= _linear(f"{prefix}.{name}", outputs, config.hidden_size, config.qkv_bias)
    if config.qk_norm:
        shapes[f"{prefix}.q_norm.weight"] = (config.head_dim,)
        shapes[f"{prefix}.k_norm.weight"] = (config.head_dim,)
    return shapes | _linear(f"{prefix}.o_proj", config.hidden_size, queries, config.output_bias)


def _llama_mlp(config: ModelConfig, prefix: str) -> Shapes:
    hidden, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
    return (
        _linear(f"{prefix}.gate_proj", inner, hidden, bias)
        | _linear(f"{prefix}.up_proj", inner, hidden, bias)
        | _linear(f"{prefix}.down_proj", hidden, inner, bias)
    )


def _gpt2(config: ModelConfig) -> Shapes:
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes: Shapes = {
        "transformer.wte.weight": (config.vocab_size, hidden),
        "transformer.wpe.weight": (config.context_length, hidden),
    }
    for layer in range(config.num_layers):
        prefix = f"transformer.h.{layer}"
        shapes |= _layer_norm(f"{prefix}.ln_1", hidden, config.norm_bias)
        shapes |= _linear(f"{prefix}.attn.c_attn", 3 * hidden, hidden, config.qkv_bias)
        shapes |= _linear(f"{prefix}.attn.c_proj", hidden, hidden, config.output_bias)
        shapes |= _layer_norm(f"{prefix}.ln_2", hidden, config.norm_bias)
        shapes |= _linear(f"{prefix}.mlp.c_fc", inner, hidden, config.mlp_bias)
        shapes |= _linear(f"{prefix}.mlp.c_proj", hidden, inner, config.mlp_bias)
    shapes |= _layer_norm("transformer.ln_f", hidden, config.norm_bias)
    return shapes | _head(config)


_GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def _recurrent(config: ModelConfig) -> Shapes:
    hidden, gates = config.hidden_size, _GATES[config.architecture] * config.hidden_size
    shapes: Shapes = {"embed_tokens.weight": (config.vocab_size, hidden)}
    for layer in range(config.num_layers):
        prefix = f"layers.{layer}.rnn"
        shapes[f"{prefix}.weight_ih_l0"] = (gates, hidden)
        shapes[f"{prefix}.weight_hh_l0"] = (gates, hidden)
        shapes[f"{prefix}.bias_ih_l0"] = (gates,)
        shapes[f"{prefix}.bias_hh_l0"] = (gates,)
    return shapes | _head(config)


def _head(config: ModelConfig) -> Shapes:
    """What is over the last norm, where it is not the embedding itself."""
    if config.head != "language":
        return {"score.weight": (max(1, len(config.labels)), config.hidden_size)}
    if config.tie_embeddings:
        return {}
    return {"lm_head.weight": (config.vocab_size, config.hidden_size)}


def _linear(name: str, outputs: int, inputs: int, bias: bool) -> Shapes:  # noqa: FBT001
    shapes: Shapes = {f"{name}.weight": (outputs, inputs)}
    if bias:
        shapes[f"{name}.bias"] = (outputs,)
    return shapes


def _layer_norm(name: str, size: int, bias: bool) -> Shapes:  # noqa: FBT001
    shapes: Shapes = {f"{name}.weight": (size,)}
    if bias:
        shapes[f"{name}.bias"] = (size,)
    return shapes


_ARCHITECTURES: dict[str, Callable[[ModelConfig], Shapes]] = {
    "llama": _llama,
    "gpt2": _gpt2,
    "encoder": _llama,
    "rnn": _recurrent,
    "gru": _recurrent,
    "lstm": _recurrent,
}
