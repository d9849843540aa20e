"""The record of an architecture: all that the rest of the system asks of it by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

from llmosd.architectures.config import ModelConfig

Shapes = dict[str, tuple[int, ...]]

DECODER = frozenset({"language_model", "sft", "distill", "dpo", "kto", "classify", "regress"})
"""Objectives of networks that see what comes before a token."""
BIDIRECTIONAL = frozenset({"masked_language_model", "classify", "regress"})
"""Objectives of networks that see both sides."""

FLOATS = ("float32", "bfloat16")
TRANSFORMER_SIZES = frozenset({
    "num_layers", "hidden_size", "intermediate_size", "num_heads", "num_kv_heads", "head_dim",
    "context_length", "tie_embeddings", "qkv_bias", "output_bias", "mlp_bias", "norm_bias",
    "qk_norm", "norm_eps",
})  # fmt: skip


class Memory(NamedTuple):
    """What an engine keeps of a sequence.

    Attributes:
        layers: layers of keys and values, which grow with the sequence.
        vectors: vectors of hidden_size float32, which do not.
    """

    layers: int
    vectors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """An architecture.

    Attributes:
        name: the value of ModelConfig.architecture.
        shapes: every weight by name, in the order of the forward pass.
        network: "module:class" of an `architecture.Build`, imported where models are served.
        trainable: "module:class" of a `trainable.network.Network`, imported where they are trained.
        served: the types it can be served in, by device; devices that are not named cannot.
        objectives: what it can be trained by, the first one of a dataset's kind by default.
        defaults: fields of ModelConfig from scratch, where nothing is asked for.
        sizes: fields of ModelConfig that may be asked for.
        inner: intermediate_size by hidden_size, where it is not asked for.
        memory: what an engine keeps of a sequence.
        adapters: low-rank adapters can sit on its products.
        products: where adapters' rows can be in one step with their base's: the products of a layer
            by the names of architecture.Place, and what each is of. What shares its input is one.
        whole: it reads a prompt in one piece, as what is first may depend on what is last.
        causal: a token's hidden state depends on nothing after it.
        starts: the token ModelConfig.start_id ends the prompt and begins the answer.
        closed_form: its weights are found in one pass over the examples, without steps.
        latent: what it writes hangs on ModelConfig.latent_size numbers, which are found in the
            prompt, or given.
        carries: its state after a piece of text can begin the next one.
        embeds: how a text's vector is made of its tokens' hidden states where nothing else is
            asked for, "mean", "last" or "first"; "": its rows are no such states.
    """

    name: str
    shapes: Callable[[ModelConfig], Shapes]
    network: str
    trainable: str
    served: Mapping[str, tuple[str, ...]]
    objectives: frozenset[str]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    sizes: frozenset[str] = TRANSFORMER_SIZES
    inner: Callable[[int], int] = lambda hidden: 4 * hidden
    memory: Callable[[ModelConfig], Memory] = lambda config: Memory(config.num_layers, 0)
    adapters: bool = True
    products: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    whole: bool = False
    causal: bool = True
    starts: bool = False
    closed_form: bool = False
    latent: bool = False
    carries: bool = False
    embeds: str = ""

    def load_network(self) -> Any:
        """The class that serves; imports torch."""
        return _load(self.network)

    def load_trainable(self) -> Any:
        """The class that is trained; imports torch."""
        return _load(self.trainable)


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
