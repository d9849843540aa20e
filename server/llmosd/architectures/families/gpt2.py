"""The GPT-2 shape.

Names are those of Hugging Face's modules. Its Conv1D matrices, [inputs, outputs], are kept as all
others are: the importer transposes them once.
"""

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.family import DECODER, FLOATS, Family, Shapes
from llmosd.architectures.families.parts import head, layer_norm, linear


def _shapes(config: ModelConfig) -> Shapes:
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes: Shapes = {
        "transformer.wte.weight": (config.vocab_size, hidden),
        "transformer.wpe.weight": (config.context_length, hidden),
    }
    for layer in range(config.num_layers):
        prefix = f"transformer.h.{layer}"
        shapes |= layer_norm(f"{prefix}.ln_1", hidden, bias=config.norm_bias)
        shapes |= linear(f"{prefix}.attn.c_attn", 3 * hidden, hidden, bias=config.qkv_bias)
        shapes |= linear(f"{prefix}.attn.c_proj", hidden, hidden, bias=config.output_bias)
        shapes |= layer_norm(f"{prefix}.ln_2", hidden, bias=config.norm_bias)
        shapes |= linear(f"{prefix}.mlp.c_fc", inner, hidden, bias=config.mlp_bias)
        shapes |= linear(f"{prefix}.mlp.c_proj", hidden, inner, bias=config.mlp_bias)
    shapes |= layer_norm("transformer.ln_f", hidden, bias=config.norm_bias)
    return shapes | head(config)


GPT2 = Family(
    name="gpt2",
    shapes=_shapes,
    network="llmosd.architectures.gpt2:GPT2",
    trainable="llmosd.architectures.trainable.gpt2:GPT2",
    served={"cpu": FLOATS, "cuda": FLOATS},
    objectives=DECODER,
    defaults={
        "norm_eps": 1e-5,
        "activation": "gelu_new",
        "tie_embeddings": True,
        "qkv_bias": True,
        "output_bias": True,
        "mlp_bias": True,
    },
    embeds="last",
)
