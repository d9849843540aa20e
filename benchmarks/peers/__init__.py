"""The engines, by the name that --peers takes."""

from collections.abc import Callable
from importlib import import_module

from benchmarks.peer import Peer

# Name: module of this package, its class, arguments. Imported in the worker that runs it only.
PEERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "llmos-int8": ("llmos", "Llmos", ("int8",)),
    "llmos-int4": ("llmos", "Llmos", ("int4",)),
    "llmos-float32": ("llmos", "Llmos", ("float32",)),
    "engine-int8": ("engine", "BareEngine", ("int8",)),
    "engine-int4": ("engine", "BareEngine", ("int4",)),
    "engine-float32": ("engine", "BareEngine", ("float32",)),
    "llama.cpp-q8_0": ("llama_cpp", "LlamaCpp", ("q8_0",)),
    "llama.cpp-q4_1": ("llama_cpp", "LlamaCpp", ("q4_1",)),
    "vllm-bf16": ("vllm", "Vllm", ("bfloat16",)),
    "vllm-fp32": ("vllm", "Vllm", ("float32",)),
    "transformers-bf16": ("hugging_face", "HuggingFace", ("bfloat16",)),
    "transformers-fp32": ("hugging_face", "HuggingFace", ("float32",)),
}


def make(name: str) -> Peer:
    """The peer of that name, not loaded yet."""
    module, cls, arguments = PEERS[name]
    build: Callable[..., Peer] = getattr(import_module(f"{__name__}.{module}"), cls)
    return build(*arguments)
