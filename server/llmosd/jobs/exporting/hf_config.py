"""Our ModelConfig in the words of transformers' config.json, where it has them."""

from collections.abc import Callable
from typing import Any

import msgspec

from llmosd.architectures.config import ModelConfig, RopeConfig
from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.hf_config import hf_config
from llmosd.store.manifest import GenerationDefaults

Values = dict[str, Any]


def hub_config(config: ModelConfig, generation: GenerationDefaults) -> Values | None:
    """config.json's values; None: transformers has no class for this network.

    The family that the importer read is tried first, then its relatives: a network that was made
    here as "llama" with biases on Q, K and V alone is what others call Qwen2.
    """
    if config.head != "language":
        return None
    made = {config.family: _FAMILIES[config.family]} if config.family in _FAMILIES else {}
    for write in (made | _FAMILIES).values():
        values = write(config)
        try:
            again = hf_config(values)
        except InvalidModelFile:
            continue
        if msgspec.structs.replace(again, family=config.family) == config:
            ends: list[int] = generation.eos_token_ids
            ids = {
                "bos_token_id": generation.bos_token_id,
                "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
            }
            return values | {name: value for name, value in ids.items() if value is not None}
    return None


def _llama_like(config: ModelConfig, architecture: str, model_type: str) -> Values:
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context_length,
        "rms_norm_eps": config.norm_eps,
        "hidden_act": config.activation,
        "tie_word_embeddings": config.tie_embeddings,
        "rope_parameters": _rope(config.rope),
        # Spelled as before transformers 5, too, for the programs that know no other.
        "rope_theta": config.rope.theta,
    }


def _llama(config: ModelConfig) -> Values:
    own = {"attention_bias": config.qkv_bias, "mlp_bias": config.mlp_bias}
    return _llama_like(config, "LlamaForCausalLM", "llama") | own


def _mistral(config: ModelConfig) -> Values:
    own = {"sliding_window": config.sliding_window or None}
    return _llama_like(config, "MistralForCausalLM", "mistral") | own


def _qwen_window(config: ModelConfig) -> Values:
    window = config.sliding_window
    if not window:
        return {"use_sliding_window": False}
    kinds = ["sliding_attention"] * config.num_layers
    return {
        "use_sliding_window": True,
        "sliding_window": window,
        "max_window_layers": 0,
        "layer_types": kinds,
    }


def _qwen2(config: ModelConfig) -> Values:
    return _llama_like(config, "Qwen2ForCausalLM", "qwen2") | _qwen_window(config)


def _qwen3(config: ModelConfig) -> Values:
    own = {"attention_bias": config.qkv_bias} | _qwen_window(config)
    return _llama_like(config, "Qwen3ForCausalLM", "qwen3") | own


def _gpt2(config: ModelConfig) -> Values:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_embd": config.hidden_size,
        "n_inner": config.intermediate_size,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_positions": config.context_length,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": config.activation,
        "tie_word_embeddings": config.tie_embeddings,
    }


def _rope(rope: RopeConfig) -> Values:
    values: Values = {"rope_type": rope.kind, "rope_theta": rope.theta}
    if rope.kind != "default":
        values["factor"] = rope.factor
    if rope.kind in {"llama3", "yarn"}:
        values["original_max_position_embeddings"] = rope.original_context
    if rope.kind == "llama3":
        values |= {
            "low_freq_factor": rope.low_freq_factor,
            "high_freq_factor": rope.high_freq_factor,
        }
    if rope.kind == "yarn":
        values |= {"beta_fast": rope.beta_fast, "beta_slow": rope.beta_slow}
        if rope.attention_factor is not None:
            values["attention_factor"] = rope.attention_factor
    return values


_FAMILIES: dict[str, Callable[[ModelConfig], Values]] = {
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "gpt2": _gpt2,
}
