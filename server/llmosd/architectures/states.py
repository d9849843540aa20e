"""What a recurrent network remembers of a sequence: a few vectors. Imports no torch."""

from llmosd.architectures.config import ModelConfig

_VECTORS = {"rnn": 1, "gru": 1, "lstm": 2}
RECURRENT = frozenset(_VECTORS)
"""Architectures whose memory does not grow with what they have read."""


def state_vectors(config: ModelConfig) -> int:
    """Vectors per layer: the hidden state, an LSTM's cell state too; 0: not recurrent."""
    return _VECTORS.get(config.architecture, 0)


def state_bytes(config: ModelConfig) -> int:
    """Of one sequence over all layers, in float32."""
    return 4 * state_vectors(config) * config.num_layers * config.hidden_size
