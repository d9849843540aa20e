"""The variational autoencoder of sentences (Bowman et al., 2016): LSTMs around a latent vector."""

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.family import FLOATS, Family, Memory, Shapes
from llmosd.architectures.families.parts import head, linear
from llmosd.architectures.families.recurrent import layer_shapes
from llmosd.architectures.families.seq2seq import both_ways


def _shapes(config: ModelConfig) -> Shapes:
    hidden, latent = config.hidden_size, config.latent_size
    shapes: Shapes = {"embed_tokens.weight": (config.vocab_size, hidden)}
    shapes |= both_ways(config)
    shapes |= linear("encoder.mean", latent, hidden, bias=True)
    shapes |= linear("encoder.log_variance", latent, hidden, bias=True)
    # Every layer's first hidden and cell state.
    shapes |= linear("decoder.initial", 2 * config.num_layers * hidden, latent, bias=True)
    shapes |= linear("decoder.latent", hidden, latent, bias=False)
    for layer in range(config.num_layers):
        shapes |= layer_shapes(f"decoder.layers.{layer}.rnn", 4 * hidden, hidden, hidden)
    return shapes | head(config)


def _memory(config: ModelConfig) -> Memory:
    # Hidden and cell states; mean and log-variance; what is added to inputs; the prompt's length.
    posterior = -(-2 * config.latent_size // config.hidden_size)
    return Memory(0, 2 * config.num_layers + posterior + 2)


VAE = Family(
    name="vae",
    shapes=_shapes,
    network="llmosd.architectures.vae:Vae",
    trainable="llmosd.architectures.trainable.vae:Vae",
    served={"cpu": FLOATS},
    objectives=frozenset({"vae"}),
    defaults={
        "norm_eps": 1e-5,
        "tie_embeddings": True,
        "num_layers": 1,
        "encoder_layers": 1,
        "num_heads": 1,
        "latent_size": 32,
    },
    sizes=frozenset({
        "hidden_size", "num_layers", "encoder_layers", "latent_size", "context_length",
        "tie_embeddings",
    }),
    memory=_memory,
    adapters=False,
    whole=True,
    starts=True,
    latent=True,
)  # fmt: skip
