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
        vectors: (states, vectors, hidden_size) float32, all of a sequence.
        layers: those of each layer, for networks that are nothing but layers.
    """

    block_tokens = STATE_TOKENS

    def __init__(self, config: ModelConfig, num_states: int, device: torch.device) -> None:
        """Allocate them; a sequence's first step begins with zeros."""
        count = family_of(config.architecture).memory(config).vectors
        self.vectors = torch.zeros(num_states, count, config.hidden_size, device=device)
        own = count // config.num_layers
        self.layers: list[Tensor] = [
            self.vectors[:, own * index : own * (index + 1)] for index in range(config.num_layers)
        ]

    def copy(self, source: int, target: int) -> None:
        """Copy one sequence's state."""
        self.vectors[target] = self.vectors[source]
