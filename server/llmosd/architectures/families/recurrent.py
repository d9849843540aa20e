"""Recurrent language models: layers of rnn, gru or lstm cells, with the names of torch.nn's."""

from functools import partial

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.family import DECODER, FLOATS, Family, Memory, Shapes
from llmosd.architectures.families.parts import head


def _shapes(config: ModelConfig, *, gates: int) -> Shapes:
    hidden = config.hidden_size
    shapes: Shapes = {"embed_tokens.weight": (config.vocab_size, hidden)}
    for layer in range(config.num_layers):
        shapes |= layer_shapes(f"layers.{layer}.rnn", gates * hidden, hidden, hidden)
    return shapes | head(config)


def layer_shapes(prefix: str, gates: int, inputs: int, hidden: int) -> Shapes:
    """One layer of torch.nn.RNNBase: `gates` rows, from so many inputs and states."""
    return {
        f"{prefix}.weight_ih_l0": (gates, inputs),
        f"{prefix}.weight_hh_l0": (gates, hidden),
        f"{prefix}.bias_ih_l0": (gates,),
        f"{prefix}.bias_hh_l0": (gates,),
    }


def _memory(config: ModelConfig, *, vectors: int) -> Memory:
    return Memory(0, vectors * config.num_layers)


def _family(name: str, *, gates: int, vectors: int) -> Family:
    return Family(
        name=name,
        shapes=partial(_shapes, gates=gates),
        network="llmosd.architectures.recurrent:Recurrent",
        trainable="llmosd.architectures.trainable.recurrent:Recurrent",
        served={"cpu": FLOATS},
        objectives=DECODER | {"seqgan"},
        # What a sequence costs does not depend on how long it is.
        defaults={
            "norm_eps": 1e-5,
            "tie_embeddings": True,
            "context_length": 65_536,
            "num_layers": 2,
            "num_heads": 1,
        },
        sizes=frozenset({"hidden_size", "num_layers", "context_length", "tie_embeddings"}),
        memory=partial(_memory, vectors=vectors),
        adapters=False,
        carries=True,
        embeds="last",
    )


RNN = _family("rnn", gates=1, vectors=1)
GRU = _family("gru", gates=3, vectors=1)
# The hidden state, and the cell's.
LSTM = _family("lstm", gates=4, vectors=2)
