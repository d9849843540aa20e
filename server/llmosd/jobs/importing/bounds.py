"""Limits that a model's numbers must keep, whatever file they came from."""

import math
import os

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import parameter_count
from llmosd.errors import InsufficientMemory, InvalidModelFile

_RANGES = {
    "vocab_size": (1, 1 << 22),
    "hidden_size": (1, 1 << 17),
    "intermediate_size": (1, 1 << 20),
    "num_layers": (1, 1024),
    "num_heads": (1, 1024),
    "num_kv_heads": (1, 1024),
    "head_dim": (1, 2048),
    "context_length": (1, 1 << 27),
    "sliding_window": (0, 1 << 27),
}
_ROPE_KINDS = {"default", "linear", "llama3", "yarn"}
_ACTIVATIONS = {"silu", "gelu_new"}


def check_config(config: ModelConfig) -> ModelConfig:
    """Return `config` if its numbers can be a model's; raises InvalidModelFile naming the field."""
    for field, (least, most) in _RANGES.items():
        value = getattr(config, field)
        if not least <= value <= most:
            raise InvalidModelFile(f"{field} is {value}; it must be from {least} to {most}")
    if config.num_heads % config.num_kv_heads:
        raise InvalidModelFile(
            f"num_heads ({config.num_heads}) is no multiple of num_kv_heads ({config.num_kv_heads})"
        )
    if config.architecture == "gpt2" and config.num_heads * config.head_dim != config.hidden_size:
        raise InvalidModelFile(
            f"hidden_size ({config.hidden_size}) is no multiple of num_heads ({config.num_heads})"
        )
    if config.architecture == "llama" and config.head_dim % 2:
        raise InvalidModelFile(f"head_dim is {config.head_dim}; rotary embedding needs it even")
    if not 0 < config.norm_eps < 1:
        raise InvalidModelFile(f"norm_eps is {config.norm_eps}; it must be between 0 and 1")
    if config.activation not in _ACTIVATIONS:
        raise InvalidModelFile(f"activation {config.activation[:32]!r} is not supported")
    _check_rope(config)
    return config


def machine_memory() -> int:
    """Bytes of memory this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_memory(config: ModelConfig, limit: int) -> None:
    """Raise InsufficientMemory where the weights alone, at two bytes each, exceed `limit` bytes."""
    parameters = parameter_count(config)
    if 2 * parameters > limit:
        raise InsufficientMemory(
            f"the model has {parameters} parameters, at least {2 * parameters} bytes; "
            f"the memory has {limit}",
            metadata={"needed_bytes": str(2 * parameters), "available_bytes": str(limit)},
        )


def _check_rope(config: ModelConfig) -> None:
    rope = config.rope
    if rope.kind not in _ROPE_KINDS:
        raise InvalidModelFile(
            f"rotary scaling {rope.kind[:32]!r} is not supported, only {sorted(_ROPE_KINDS)}"
        )
    numbers = {
        "rope.theta": rope.theta,
        "rope.factor": rope.factor,
        "rope.low_freq_factor": rope.low_freq_factor,
        "rope.high_freq_factor": rope.high_freq_factor,
        "rope.beta_fast": rope.beta_fast,
        "rope.beta_slow": rope.beta_slow,
        "rope.attention_factor": rope.attention_factor or 1.0,
    }
    for field, value in numbers.items():
        if not (math.isfinite(value) and 0 < value < 1e12):
            raise InvalidModelFile(f"{field} is {value}; it must be positive")
    if rope.kind in {"llama3", "yarn"} and not 0 < rope.original_context <= 1 << 27:
        raise InvalidModelFile(
            f"rope.original_context is {rope.original_context}; {rope.kind} scaling needs it"
        )
    if rope.kind == "llama3" and rope.high_freq_factor <= rope.low_freq_factor:
        raise InvalidModelFile("rope.high_freq_factor must be above rope.low_freq_factor")
