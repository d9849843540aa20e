"""The engines, by the name that --peers takes."""

from collections.abc import Callable
from importlib import import_module

from benchmarks.peer import Peer

# Name: module of this package, its class, arguments. Imported in the worker that runs it only.
PEERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "llmos": ("llmos", "Llmos", ()),
    "llama.cpp": ("llama_cpp", "LlamaCpp", ()),
    "transformers-fp32": ("hugging_face", "HuggingFace", ("float32",)),
    "transformers-bf16": ("hugging_face", "HuggingFace", ("bfloat16",)),
    "vllm": ("vllm", "Vllm", ()),
}


def make(name: str) -> Peer:
    """The peer of that name, not loaded yet."""
    module, cls, arguments = PEERS[name]
    build: Callable[..., Peer] = getattr(import_module(f"{__name__}.{module}"), cls)
    return build(*arguments)
