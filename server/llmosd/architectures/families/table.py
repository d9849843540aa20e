"""Every architecture by name: ours, and those that installed packages add.

A package adds one by an entry point of the group "llmosd.families" whose object is a `Family`.
"""

from functools import cache
from importlib.metadata import entry_points

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.cnn import CNN
from llmosd.architectures.families.family import Family, Shapes
from llmosd.architectures.families.gpt2 import GPT2
from llmosd.architectures.families.llama import ENCODER, LLAMA
from llmosd.architectures.families.naive_bayes import NAIVE_BAYES
from llmosd.architectures.families.recurrent import GRU, LSTM, RNN
from llmosd.architectures.families.seq2seq import SEQ2SEQ, SEQ2SEQ_LSTM
from llmosd.architectures.families.vae import VAE
from llmosd.errors import InvalidField

GROUP = "llmosd.families"
_OURS = {
    each.name: each
    for each in (
        LLAMA, GPT2, ENCODER, LSTM, GRU, RNN, SEQ2SEQ, SEQ2SEQ_LSTM, VAE, CNN, NAIVE_BAYES,
    )
}  # fmt: skip


def family_of(name: str) -> Family:
    """The record of an architecture.

    Raises:
        InvalidField: of the field `family`, naming those there are.
    """
    found = _OURS.get(name) or families().get(name)
    if found is None:
        raise InvalidField.of("family", f"{name!r} is not one of {', '.join(families())}")
    return found


@cache
def families() -> dict[str, Family]:
    """All of them; ours cannot be replaced."""
    added = {each.name: each for each in (found.load() for found in entry_points(group=GROUP))}
    return _OURS | {name: each for name, each in added.items() if name not in _OURS}


def block_bytes(config: ModelConfig, positions: int, width: int) -> int:
    """Of so many positions of a sequence, in keys and values of `width` bytes, and its vectors."""
    memory = family_of(config.architecture).memory(config)
    per_position = 2 * memory.layers * config.num_kv_heads * config.head_dim * width
    return positions * per_position + 4 * memory.vectors * config.hidden_size


def expected_shapes(config: ModelConfig) -> Shapes:
    """Every weight of the model, by name, in the order of the forward pass."""
    return family_of(config.architecture).shapes(config)


def parameter_count(config: ModelConfig) -> int:
    """The number of scalars in all weights."""
    total = 0
    for shape in expected_shapes(config).values():
        size = 1
        for length in shape:
            size *= length
        total += size
    return total
