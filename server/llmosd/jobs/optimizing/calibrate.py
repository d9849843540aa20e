"""The mean square of what each weight is multiplied with, on a dataset's rows."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from llmosd.architectures.trainable.network import Network, linear_names
from llmosd.errors import InvalidField
from llmosd.jobs.data.schema import texts
from llmosd.progress import Progress
from llmosd.store.datasets import DatasetReader

_MOST_TOKENS = 512


class Moments:
    """Adds up squares of a product's inputs."""

    def __init__(self, width: int) -> None:
        self.total = torch.zeros(width, dtype=torch.float64)
        self.count = 0

    def __call__(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """See Module.register_forward_pre_hook."""
        rows = inputs[0].detach().flatten(0, -2)
        self.total += rows.double().square().sum(0)
        self.count += len(rows)

    @property
    def mean(self) -> Tensor:
        """(width,) float32."""
        return (self.total / max(self.count, 1)).float()


def calibrate(
    network: Network, tokenizer: bytes, folder: str, rows: int, progress: Progress
) -> dict[str, Tensor]:
    """Mean square of the inputs of each product of the network, by the name of its weight.

    Raises:
        InvalidField: the dataset has no text of two tokens.
    """
    words = Tokenizer.from_str(tokenizer.decode())
    found = {name: Moments(_product(network, name).in_features) for name in linear_names(network)}
    hooks = [
        _product(network, name).register_forward_pre_hook(moments)
        for name, moments in found.items()
    ]
    room = min(network.config.context_length, _MOST_TOKENS)
    used = 0
    with DatasetReader(Path(folder)) as reader, torch.no_grad():
        count = min(rows, len(reader))
        for at in range(count):
            progress.check_cancelled()
            progress.report("calibrate", at, count, "rows")
            text = "\n".join(texts(reader.kind, reader.row(at)))
            ids = words.encode(text, add_special_tokens=False).ids[:room]
            if len(ids) > 1:
                network(torch.tensor(ids), (len(ids),))
                used += 1
    for hook in hooks:
        hook.remove()
    if not used:
        raise InvalidField.of("calibration_dataset", "has no text of two tokens or more")
    return {f"{name}.weight": moments.mean for name, moments in found.items()}


def _product(network: Network, name: str) -> nn.Linear:
    module = network.get_submodule(name)
    assert isinstance(module, nn.Linear), "linear_names names products"
    return module
