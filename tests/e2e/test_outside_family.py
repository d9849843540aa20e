"""An architecture from outside the package: one file, one entry point; trained and served.

It is Karpathy's first language model (makemore, 2022): a word depends on the one before it. What
counting says of the names it is trained on, gradient descent has to say, too.
"""

import random
from pathlib import Path

import pytest

from daemon import DaemonProcess
from llmos_client import InvalidFieldError
from llmosd.metrics.ngram import NgramModel

NAMES = Path(__file__).parents[3] / "shared/data/names.txt"
SOURCE = """
from torch import nn
from torch.nn import functional

from llmosd.architectures.families.family import DECODER, Family, Memory
from llmosd.architectures.families.parts import head
from llmosd.architectures.trainable.network import Layered


def shapes(config):
    return {"embed_tokens.weight": (config.vocab_size, config.hidden_size)} | head(config)


class Served:
    def __init__(self, config, weights, ops):
        self._ops = ops
        self._table = ops.table(weights("embed_tokens.weight"))
        self._head = ops.weight(weights("lm_head.weight"))

    def forward(self, batch, cache):
        return self._ops.embed(self._table, batch.ids)

    def logits(self, hidden):
        return self._ops.linear(hidden, self._head, None)


class Trained(Layered):
    def __init__(self, config, dropout=0.0):
        super().__init__(config, dropout)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.add_head()

    @property
    def embedding(self):
        return self.embed_tokens.weight

    def embed(self, ids, layout):
        return functional.embedding(ids, self.embedding).float()

    def shared(self, layout):
        return None

    def blocks(self):
        return nn.ModuleList()

    def normalized(self, x):
        return x


BIGRAM = Family(
    name="bigram",
    shapes=shapes,
    network="bigram_family:Served",
    trainable="bigram_family:Trained",
    served={"cpu": ("float32",)},
    objectives=DECODER,
    defaults={"norm_eps": 1e-5, "num_layers": 1, "num_heads": 1},
    sizes=frozenset({"hidden_size"}),
    memory=lambda config: Memory(0, 0),
    adapters=False,
)
"""


@pytest.fixture(scope="module")
def names():
    if NAMES.exists():
        return NAMES.read_text().split()
    rng = random.Random(0)
    return [
        "".join(rng.choice(pair) for pair in ("ae", "mn", "aio", "ln", "ae")) for _ in range(3000)
    ]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, names):
    """A daemon in whose environment the package is installed, as pip would."""
    folder = tmp_path_factory.mktemp("outside")
    site = folder / "site"
    info = site / "bigram_family-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "bigram_family.py").write_text(SOURCE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bigram-family\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[llmosd.families]\nbigram = bigram_family:BIGRAM\n")
    (folder / "names.txt").write_text("\n".join(names))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site), prepend=":")
        process = DaemonProcess(folder)
        with process.client() as client:
            operation = client.upload_dataset("names", [folder / "names.txt"], kind="text")
            client.wait_operation(operation).result()
        yield process
        process.stop()


def test_trained_and_served(daemon, names):
    """The loss over all names is that of counting: 2.4540 for makemore's."""
    settings = {
        "tokenizer_kind": "character",
        "shape.hidden_size": 32,
        "sequence_length": 32,
        "batch_size": 512,
        "steps": 220,
        "schedule.name": "linear",
        "optimizer.learning_rate": 0.05,
        "optimizer.weight_decay": 0.0,
    }
    with daemon.client() as client:
        operation = client.train_model(
            "namer", "names", family="bigram", validation_dataset="names", settings=settings
        )
        done = client.wait_operation(operation).result()
        counted = NgramModel(names).likelihood(names).nll
        if NAMES.exists():
            assert counted == pytest.approx(2.4540, abs=5e-5)
        assert counted - 1e-4 < done.metrics["loss"] < counted + 0.004
        client.load_model("namer").result()
        first = "".join(
            client.generate("namer", "a", temperature=1.0, max_tokens=20, seed=7).choices[0].text
        )
        again = client.generate("namer", "a", temperature=1.0, max_tokens=20, seed=7)
        assert again.choices[0].text == first
        letters = {letter for name in names for letter in name}
        assert set(first) <= letters | {"\n"}


def test_what_it_has_is_known(daemon):
    """By its own name, and the sizes of its record; another one's are refused."""
    with daemon.client() as client:
        with pytest.raises(InvalidFieldError, match="bigram has none; it has hidden_size"):
            client.estimate_training(
                "namer", "names", family="bigram", settings={"shape.num_heads": 4}
            )
        with pytest.raises(InvalidFieldError, match=r"'trigram' is not one of .*bigram"):
            client.estimate_training("namer", "names", family="trigram")
        estimate = client.estimate_training(
            "namer", "names", family="bigram", settings={"vocabulary_size": 30}
        )
        assert estimate.parameter_count == 2 * 30 * 128
