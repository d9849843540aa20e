"""Rotary tables against transformers', for every scaling."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from llmosd.architectures.config import ModelConfig, RopeConfig
from llmosd.architectures.rope import rope_tables
from llmosd.errors import FeatureUnavailable

CASES = [
    ({"rope_type": "default"}, {}),
    ({"rope_type": "linear", "factor": 4.0}, {"kind": "linear", "factor": 4.0}),
    (
        {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        },
        {"kind": "llama3", "factor": 8.0, "original_context": 256},
    ),
    (
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256},
        {"kind": "yarn", "factor": 4.0, "original_context": 256},
    ),
]  # fmt: skip


def config(rope):
    return ModelConfig(
        "llama", "llama", 100, 256, 512, 1, 4, 4, 64, 1024, 1e-5, rope=RopeConfig(**rope)
    )


@pytest.mark.parametrize(("theirs", "ours"), CASES)
@pytest.mark.parametrize("theta", [10_000.0, 1_000_000.0])
def test_equals_transformers(theirs, ours, theta):
    """Cosines and sines over the whole context, attention scaling included."""
    reference = LlamaRotaryEmbedding(
        LlamaConfig(
            hidden_size=256, num_attention_heads=4, max_position_embeddings=1024,
            rope_parameters={"rope_theta": theta, **theirs},
        )
    )  # fmt: skip
    cosine, sine = reference(torch.zeros(1), torch.arange(1024)[None])

    tables = rope_tables(config({"theta": theta, **ours}))

    torch.testing.assert_close(tables[0], cosine[0, :, :32], atol=2e-5, rtol=0)
    torch.testing.assert_close(tables[1], sine[0, :, :32], atol=2e-5, rtol=0)


def test_tables_are_rounded_once():
    """No entry is further from the float32 angle's cosine than float32 can say.

    torch's cosine with low accuracy is 1e-4 off here: the engine served that once in a while.
    """
    cosine, sine = rope_tables(config({}))
    exponents = torch.arange(0, 64, 2).float() / 64
    angles = torch.outer(torch.arange(1024).float(), 1 / 10_000.0**exponents).double().numpy()

    half_ulp = 2.0**-25
    assert np.abs(cosine.double().numpy() - np.cos(angles)).max() <= half_ulp
    assert np.abs(sine.double().numpy() - np.sin(angles)).max() <= half_ulp


def test_unknown_scaling_is_named():
    """A scaling nobody taught us is refused, never ignored."""
    with pytest.raises(FeatureUnavailable, match="longrope"):
        rope_tables(config({"kind": "longrope"}))
