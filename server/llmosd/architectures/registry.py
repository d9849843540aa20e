"""Which network serves which `ModelConfig.architecture`."""

from llmosd.architectures.architecture import Build
from llmosd.architectures.gpt2 import GPT2
from llmosd.architectures.llama import Llama
from llmosd.architectures.recurrent import Recurrent

ARCHITECTURES: dict[str, Build] = {
    "gpt2": GPT2,
    "llama": Llama,
    "rnn": Recurrent,
    "gru": Recurrent,
    "lstm": Recurrent,
}
