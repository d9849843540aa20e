"""What is over the last hidden state."""

from torch import Tensor

from llmosd.architectures.architecture import Weights
from llmosd.architectures.config import ModelConfig
from llmosd.errors import DataCorrupt


def head_weight(config: ModelConfig, weights: Weights, embedding: Tensor) -> Tensor:
    """(outputs, hidden): of the next token's scores, of the labels', or of a grade.

    Raises:
        DataCorrupt: scores that are not one for each label.
    """
    if config.head == "language":
        return embedding if config.tie_embeddings else weights("lm_head.weight")
    score = weights("score.weight")
    wanted = max(1, len(config.labels)), config.hidden_size
    if tuple(score.shape) != wanted:
        raise DataCorrupt(f'weight "score.weight" has shape {tuple(score.shape)}, not {wanted}')
    return score
