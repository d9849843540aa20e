"""Multinomial naive Bayes over tokens (McCallum and Nigam, 1998): what others are measured by.

Its tables are counted, not stepped towards. It has no hidden size: a token is its log-probability
under each label.
"""

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.family import Family, Memory, Shapes


def _shapes(config: ModelConfig) -> Shapes:
    labels = max(1, len(config.labels))
    return {"class_log_prior": (labels,), "feature_log_prob": (config.vocab_size, labels)}


NAIVE_BAYES = Family(
    name="naive-bayes",
    shapes=_shapes,
    network="llmosd.architectures.naive_bayes:NaiveBayes",
    trainable="llmosd.architectures.trainable.naive_bayes:NaiveBayes",
    # Sums of hundreds of logarithms, in a table too small for its width to matter.
    served={"cpu": ("float32",)},
    objectives=frozenset({"classify"}),
    defaults={
        "norm_eps": 1e-5,
        "context_length": 65_536,
        "num_layers": 1,
        "num_heads": 1,
        "hidden_size": 1,
    },
    sizes=frozenset({"context_length"}),
    inner=lambda hidden: hidden,
    memory=lambda _config: Memory(0, 0),
    adapters=False,
    whole=True,
    causal=False,
    closed_form=True,
)
