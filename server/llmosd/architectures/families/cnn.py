"""Kim's convolutional network for texts (Kim, 2014, "CNN-rand").

`hidden_size` is the size of embeddings and the number of filters of each width, which are two
numbers in the paper (300 and 100).
"""

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.family import FLOATS, Family, Memory, Shapes
from llmosd.architectures.families.parts import linear

WIDTHS = (3, 4, 5)
"""Tokens that a filter sees at once; shorter texts are followed by zeros up to the widest."""


def _shapes(config: ModelConfig) -> Shapes:
    hidden, outputs = config.hidden_size, max(1, len(config.labels))
    shapes: Shapes = {"embed_tokens.weight": (config.vocab_size, hidden)}
    for width in WIDTHS:
        shapes[f"convs.{width}.weight"] = (hidden, hidden, width)
        shapes[f"convs.{width}.bias"] = (hidden,)
    return shapes | linear("score", outputs, len(WIDTHS) * hidden, bias=True)


CNN = Family(
    name="cnn",
    shapes=_shapes,
    network="llmosd.architectures.cnn:CNN",
    trainable="llmosd.architectures.trainable.cnn:CNN",
    served={"cpu": FLOATS},
    objectives=frozenset({"classify", "regress"}),
    defaults={"norm_eps": 1e-5, "context_length": 4096, "num_layers": 1, "num_heads": 1},
    sizes=frozenset({"hidden_size", "context_length"}),
    inner=lambda hidden: hidden,
    memory=lambda _config: Memory(0, 0),
    adapters=False,
    whole=True,
    causal=False,
)
