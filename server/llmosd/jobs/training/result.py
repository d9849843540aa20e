"""From a trained network to a version folder, as store.manifest describes it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from torch import Tensor

from llmosd.architectures.families.table import parameter_count
from llmosd.architectures.peft_files import peft_config
from llmosd.architectures.trainable.lora import adapters, merge, to_peft
from llmosd.architectures.trainable.network import Network
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training.card import card
from llmosd.jobs.training.checkpoint import RunState, check_disk, save_tensors
from llmosd.store.manifest import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CARD,
    CHAT_TEMPLATE,
    CONFIG,
    GENERATION,
    TOKENIZER,
    WEIGHTS,
    Manifest,
    digest_of,
    encode_json,
)
from llmosd.store.version_folder import Written, finish_version


class ModelFiles(NamedTuple):
    """Small files that a trained version takes over as they are.

    `prompts` are the ids of the spec's `samples`.
    """

    tokenizer: bytes
    generation: bytes
    chat_template: bytes | None = None
    prompts: tuple[list[int], ...] = ()


def write_result(
    folder: Path, network: Network, spec: TrainSpec, files: ModelFiles, run: RunState
) -> Written:
    """Fill the empty `folder`, every file fsynced, the manifest last.

    An adapter that is to be merged is merged into `network`.

    Raises:
        InsufficientDisk.
    """
    if spec.lora.merge:
        merge(network)
    adapted = any(True for _ in adapters(network))
    tensors = to_peft(network) if adapted else whole_weights(network)
    check_disk(folder, sum(each.nbytes for each in tensors.values()))
    name = ADAPTER_WEIGHTS if adapted else WEIGHTS
    weights = {name: save_tensors(folder / name, tensors)}
    small = _small_files(network, spec, files, run, adapted=adapted)
    return finish_version(folder, _manifest(network, spec, files, adapted=adapted), weights, small)


def whole_weights(network: Network) -> dict[str, Tensor]:
    """All weights by the store's names, float32."""
    return {name: each.detach().float().cpu() for name, each in network.state_dict().items()}


def _small_files(
    network: Network, spec: TrainSpec, files: ModelFiles, run: RunState, *, adapted: bool
) -> dict[str, bytes]:
    out = {
        CONFIG: encode_json(network.config),
        TOKENIZER: files.tokenizer,
        GENERATION: files.generation,
        CARD: card(network.config, spec, run).encode(),
    }
    if files.chat_template is not None:
        out[CHAT_TEMPLATE] = files.chat_template
    if adapted:
        lora = spec.lora
        values = peft_config(
            network.config, lora.targets, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout
        )
        out[ADAPTER_CONFIG] = msgspec.json.format(msgspec.json.encode(values), indent=2) + b"\n"
    return out


def _manifest(network: Network, spec: TrainSpec, files: ModelFiles, *, adapted: bool) -> Manifest:
    config = network.config
    lineage = {
        "dataset": spec.dataset_name,
        "dataset_digest": spec.dataset_digest,
        "base": spec.base if adapted else spec.adapter_name or spec.base,
        "adapter": spec.adapter_name if adapted else "",
        "objective": spec.objective,
        "method": spec.method,
        "recipe": digest_of(msgspec.json.encode(spec, order="sorted")),
    }
    return Manifest(
        architecture=config.architecture,
        family=config.family,
        parameter_count=parameter_count(config),
        context_length=config.context_length,
        vocabulary_size=config.vocab_size,
        dtype="float32",
        license=spec.license,
        source="",
        chat=files.chat_template is not None,
        create_time=datetime.now(UTC),
        files={},
        lineage={name: value for name, value in lineage.items() if value},
        adapter_base=spec.base if adapted else "",
    )
