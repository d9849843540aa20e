"""Our ModelConfig as GGUF's metadata.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#standardized-key-value-pairs.
"""

import math

from llmosd.architectures.config import ModelConfig
from llmosd.jobs.exporting.gguf_file import Value
from llmosd.jobs.messages import ExportSpec

# llama_ftype: what most matrices are.
_FILE_TYPES = {"float32": 0, "float16": 1, "q8_0": 7, "bfloat16": 32}
_EPSILON = {"llama": "layer_norm_rms_epsilon", "gpt2": "layer_norm_epsilon"}


def architecture_of(config: ModelConfig) -> str | None:
    """What llama.cpp calls the network; None: it has nothing like it."""
    if config.head != "language" or config.architecture not in _EPSILON:
        return None
    if config.architecture == "gpt2":
        return "gpt2"
    if config.qk_norm:
        return "qwen3"
    return "qwen2" if config.qkv_bias and not config.output_bias else "llama"


def metadata(config: ModelConfig, architecture: str, spec: ExportSpec) -> dict[str, Value]:
    """Everything but the vocabulary."""
    values: dict[str, Value] = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.name": spec.name,
        "general.quantization_version": 2,
    }
    if spec.license:
        values["general.license"] = spec.license
    if spec.dtype is not None:
        values["general.file_type"] = _FILE_TYPES[spec.dtype]
    sizes: dict[str, Value] = {
        "context_length": config.context_length,
        "embedding_length": config.hidden_size,
        "block_count": config.num_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_heads,
        f"attention.{_EPSILON[config.architecture]}": config.norm_eps,
    }
    if config.architecture == "llama":
        sizes |= _llama(config)
    return values | {f"{architecture}.{key}": value for key, value in sizes.items()}


def _llama(config: ModelConfig) -> dict[str, Value]:
    sizes: dict[str, Value] = {
        "attention.head_count_kv": config.num_kv_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "rope.dimension_count": config.head_dim,
        "rope.freq_base": config.rope.theta,
    }
    if config.sliding_window:
        sizes["attention.sliding_window"] = config.sliding_window
    return sizes | _rope(config)


def _rope(config: ModelConfig) -> dict[str, Value]:
    rope = config.rope
    if rope.kind in {"llama3", "yarn"}:
        context: dict[str, Value] = {"rope.scaling.original_context_length": rope.original_context}
    if rope.kind == "llama3":  # the rest is in the tensor rope_freqs.weight
        return context
    if rope.kind == "linear":
        return {"rope.scaling.type": "linear", "rope.scaling.factor": rope.factor}
    if rope.kind == "yarn":
        values = context | {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": rope.factor,
            "rope.scaling.yarn_beta_fast": rope.beta_fast,
            "rope.scaling.yarn_beta_slow": rope.beta_slow,
        }
        if rope.attention_factor is not None:
            # ggml multiplies by what YaRN's own rule gives; see importing.gguf_config.
            own = 0.1 * math.log(rope.factor) + 1.0
            values["rope.scaling.attn_factor"] = rope.attention_factor / own
        return values
    return {}
