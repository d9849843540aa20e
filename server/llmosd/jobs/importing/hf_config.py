"""Hugging Face's config.json as our ModelConfig; transformers 5's spelling and the older one.

No code of a model is ever imported: a class name in the table, or a refusal.
"""

from collections.abc import Callable

from llmosd.architectures.config import ModelConfig, RopeConfig
from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.bounds import check_config
from llmosd.jobs.importing.json_files import Fields, Object
from llmosd.jobs.importing.strangers import shown


def hf_config(values: Object) -> ModelConfig:
    """Translate config.json; raises InvalidModelFile naming the field that is missing or wrong."""
    fields = Fields(values, "config.json")
    if fields.has("auto_map"):
        raise InvalidModelFile("config.json: auto_map: the model needs code of its own")
    if fields.has("quantization_config"):
        raise InvalidModelFile("config.json: quantization_config: weights must not be quantized")
    names = fields.texts("architectures")
    if len(names) != 1 or names[0] not in _ARCHITECTURES:
        raise InvalidModelFile(
            f"config.json: architectures is {shown(', '.join(names))}; supported are "
            f"{', '.join(_ARCHITECTURES)}"
        )
    return check_config(_ARCHITECTURES[names[0]](fields))


def _llama(fields: Fields) -> ModelConfig:
    bias = fields.flag("attention_bias", default=False)
    return _llama_like(
        fields,
        "llama",
        qkv_bias=bias,
        output_bias=bias,
        mlp_bias=fields.flag("mlp_bias", default=False),
    )


def _mistral(fields: Fields) -> ModelConfig:
    window = _window(fields, fields.integer("sliding_window", 0))
    return _llama_like(fields, "mistral", sliding_window=window)


def _qwen2(fields: Fields) -> ModelConfig:
    return _llama_like(fields, "qwen2", qkv_bias=True, sliding_window=_qwen_window(fields))


def _qwen3(fields: Fields) -> ModelConfig:
    bias = fields.flag("attention_bias", default=False)
    return _llama_like(
        fields,
        "qwen3",
        qk_norm=True,
        qkv_bias=bias,
        output_bias=bias,
        sliding_window=_qwen_window(fields),
        default_head_dim=128,
    )


def _llama_like(
    fields: Fields,
    family: str,
    *,
    qkv_bias: bool = False,
    output_bias: bool = False,
    mlp_bias: bool = False,
    qk_norm: bool = False,
    sliding_window: int = 0,
    default_head_dim: int = 0,
) -> ModelConfig:
    hidden = fields.integer("hidden_size")
    heads = fields.integer("num_attention_heads")
    context = fields.integer("max_position_embeddings")
    if fields.text("hidden_act", "silu") not in {"silu", "swish"}:
        raise InvalidModelFile("config.json: hidden_act is not silu")
    return ModelConfig(
        architecture="llama",
        family=family,
        vocab_size=fields.integer("vocab_size"),
        hidden_size=hidden,
        intermediate_size=fields.integer("intermediate_size"),
        num_layers=fields.integer("num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=fields.integer("num_key_value_heads", heads),
        head_dim=fields.integer("head_dim", default_head_dim or _quotient(hidden, heads)),
        context_length=context,
        norm_eps=fields.number("rms_norm_eps"),
        activation="silu",
        rope=_rope(fields, context),
        tie_embeddings=fields.flag("tie_word_embeddings", default=False),
        qkv_bias=qkv_bias,
        output_bias=output_bias,
        mlp_bias=mlp_bias,
        qk_norm=qk_norm,
        sliding_window=sliding_window,
    )


def _gpt2(fields: Fields) -> ModelConfig:
    hidden, heads = fields.integer("n_embd"), fields.integer("n_head")
    if fields.text("activation_function", "gelu_new") not in {"gelu_new", "gelu_pytorch_tanh"}:
        raise InvalidModelFile("config.json: activation_function is not gelu_new")
    for flag, usual in (
        ("scale_attn_weights", True),
        ("scale_attn_by_inverse_layer_idx", False),
        ("add_cross_attention", False),
    ):
        if fields.flag(flag, default=usual) != usual:
            raise InvalidModelFile(f"config.json: {flag} other than {usual} is not supported")
    return ModelConfig(
        architecture="gpt2",
        family="gpt2",
        vocab_size=fields.integer("vocab_size"),
        hidden_size=hidden,
        intermediate_size=fields.integer("n_inner", 4 * hidden),
        num_layers=fields.integer("n_layer"),
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=_quotient(hidden, heads),
        context_length=fields.integer("n_positions"),
        norm_eps=fields.number("layer_norm_epsilon", 1e-5),
        activation="gelu_new",
        tie_embeddings=fields.flag("tie_word_embeddings", default=True),
        qkv_bias=True,
        output_bias=True,
        mlp_bias=True,
    )


def _quotient(hidden: int, heads: int) -> int:
    if heads < 1 or hidden % heads:
        raise InvalidModelFile(
            f"config.json: hidden_size ({hidden}) is no multiple of the number of heads ({heads})"
        )
    return hidden // heads


def _qwen_window(fields: Fields) -> int:
    if not fields.flag("use_sliding_window", default=False):
        return 0
    window = fields.integer("sliding_window")
    if not fields.has("layer_types"):
        # Layers from this one on have the window.
        first = fields.integer("max_window_layers", 0)
        if first >= fields.integer("num_hidden_layers"):
            return 0
        if first > 0:
            raise InvalidModelFile("config.json: a sliding window in some layers is not supported")
    return _window(fields, window)


def _window(fields: Fields, window: int) -> int:
    kinds = set(fields.texts("layer_types"))
    if kinds == {"full_attention"}:
        return 0
    if kinds - {"sliding_attention"}:
        raise InvalidModelFile("config.json: layer_types: layers must all be of one kind")
    return window


def _rope(fields: Fields, context: int) -> RopeConfig:
    # transformers 5 has all in rope_parameters; before, rope_theta stood apart.
    rope = fields.child("rope_parameters" if fields.has("rope_parameters") else "rope_scaling")
    theta = rope.number("rope_theta", fields.number("rope_theta", 10000.0))
    kind = rope.text("rope_type", rope.text("type", "default"))
    partial = rope.number("partial_rotary_factor", fields.number("partial_rotary_factor", 1.0))
    if partial != 1.0:
        raise InvalidModelFile("config.json: partial_rotary_factor other than 1 is not supported")
    if kind not in _ROPE:
        raise InvalidModelFile(
            f"config.json: rotary scaling {shown(kind)} is not supported, only {', '.join(_ROPE)}"
        )
    return _ROPE[kind](rope, theta, context)


def _rope_default(rope: Fields, theta: float, context: int) -> RopeConfig:
    del rope, context
    return RopeConfig(theta=theta)


def _rope_linear(rope: Fields, theta: float, context: int) -> RopeConfig:
    del context
    return RopeConfig(theta=theta, kind="linear", factor=rope.number("factor"))


def _rope_llama3(rope: Fields, theta: float, context: int) -> RopeConfig:
    return RopeConfig(
        theta=theta,
        kind="llama3",
        factor=rope.number("factor"),
        original_context=rope.integer("original_max_position_embeddings", context),
        low_freq_factor=rope.number("low_freq_factor"),
        high_freq_factor=rope.number("high_freq_factor"),
    )


def _rope_yarn(rope: Fields, theta: float, context: int) -> RopeConfig:
    if rope.has("mscale") or rope.has("mscale_all_dim") or not rope.flag("truncate", default=True):
        raise InvalidModelFile("config.json: yarn with mscale or truncate is not supported")
    original = rope.integer("original_max_position_embeddings", context)
    if original < 1:
        raise InvalidModelFile("config.json: original_max_position_embeddings is not positive")
    attention = rope.number("attention_factor") if rope.has("attention_factor") else None
    return RopeConfig(
        theta=theta,
        kind="yarn",
        factor=rope.number("factor", context / original),
        original_context=original,
        beta_fast=rope.number("beta_fast", 32.0),
        beta_slow=rope.number("beta_slow", 1.0),
        attention_factor=attention,
    )


_ROPE: dict[str, Callable[[Fields, float, int], RopeConfig]] = {
    "default": _rope_default,
    "linear": _rope_linear,
    "llama3": _rope_llama3,
    "yarn": _rope_yarn,
}

_ARCHITECTURES: dict[str, Callable[[Fields], ModelConfig]] = {
    "LlamaForCausalLM": _llama,
    "MistralForCausalLM": _mistral,
    "Qwen2ForCausalLM": _qwen2,
    "Qwen3ForCausalLM": _qwen3,
    "GPT2LMHeadModel": _gpt2,
}
