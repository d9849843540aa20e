"""The memory of recurrent networks: one state per sequence, in place of keys and values.

To the scheduler it is a cache whose blocks are never full: a sequence holds one, however long it
gets, no prompt's beginning is found again, and an answer that forks copies it.
"""

import torch
from torch import Tensor

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import family_of

# More positions than any context has.
STATE_TOKENS = 1 << 30


class RecurrentState:
    """States of `num_states` sequences.

    Attributes:
        layers: (states, vectors, hidden_size) float32 of each layer.
    """

    block_tokens = STATE_TOKENS

    def __init__(self, config: ModelConfig, num_states: int, device: torch.device) -> None:
        """Allocate them; a sequence's first step begins with zeros."""
        vectors = family_of(config.architecture).memory(config).vectors
        shape = (num_states, vectors // config.num_layers, config.hidden_size)
        self.layers: list[Tensor] = [
            torch.zeros(shape, device=device) for _ in range(config.num_layers)
        ]

    def copy(self, source: int, target: int) -> None:
        """Copy one sequence's state."""
        for layer in self.layers:
            layer[target] = layer[source]
