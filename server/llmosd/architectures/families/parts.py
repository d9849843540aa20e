"""Shapes that architectures share.

All matrices are as torch.nn.Linear keeps them, [outputs, inputs].
"""

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.family import Shapes


def head(config: ModelConfig) -> Shapes:
    """What is over the last norm, where it is not the embedding itself."""
    if config.head != "language":
        return {"score.weight": (max(1, len(config.labels)), config.hidden_size)}
    if config.tie_embeddings:
        return {}
    return {"lm_head.weight": (config.vocab_size, config.hidden_size)}


def linear(name: str, outputs: int, inputs: int, *, bias: bool) -> Shapes:
    """A product."""
    shapes: Shapes = {f"{name}.weight": (outputs, inputs)}
    if bias:
        shapes[f"{name}.bias"] = (outputs,)
    return shapes


def layer_norm(name: str, size: int, *, bias: bool) -> Shapes:
    """A norm's weights."""
    shapes: Shapes = {f"{name}.weight": (size,)}
    if bias:
        shapes[f"{name}.bias"] = (size,)
    return shapes
