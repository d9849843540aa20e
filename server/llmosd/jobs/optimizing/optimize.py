"""The job that optimizes: a version's folder in, another one's out."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import family_of, parameter_count
from llmosd.architectures.trainable.registry import from_weights
from llmosd.errors import FeatureUnavailable, InvalidField
from llmosd.jobs.optimizing.calibrate import calibrate
from llmosd.jobs.optimizing.prune import average, prune, squared_error
from llmosd.jobs.optimizing.specs import Average, Merge, Optimized, OptimizeSpec, Prune, Quantize
from llmosd.jobs.training.adapter_weights import merge_adapter
from llmosd.jobs.training.build import folder_weights
from llmosd.jobs.training.checkpoint import check_disk, save_tensors
from llmosd.progress import Progress
from llmosd.quantizers.registry import QUANTIZERS
from llmosd.quantizers.stored import read_stored, to_stored
from llmosd.store.manifest import (
    CARD,
    CHAT_TEMPLATE,
    CONFIG,
    GENERATION,
    MANIFEST,
    TOKENIZER,
    WEIGHTS,
    KeptDtype,
    Manifest,
    decode_manifest,
    encode_json,
)
from llmosd.store.version_folder import finish_version

_COPIED = (TOKENIZER, GENERATION, CHAT_TEMPLATE)


class _Made(NamedTuple):
    """What came of a method: the tensors of the file, and what they are."""

    config: ModelConfig
    tensors: dict[str, Tensor]
    dtype: KeptDtype
    report: dict[str, float]
    words: str  # what was done, for the card


def optimize(spec: OptimizeSpec, progress: Progress) -> Optimized:
    """Fill `spec.output`, every file fsynced, the manifest last.

    Raises:
        InvalidField: the method does not fit the version.
        FeatureUnavailable: its architecture has no such method.
        InsufficientDisk, DataCorrupt, OperationCancelled.
    """
    torch.set_num_threads(max(spec.threads, 1))
    source = Path(spec.source)
    manifest = decode_manifest((source / MANIFEST).read_bytes())
    config = msgspec.json.decode((source / CONFIG).read_bytes(), type=ModelConfig)
    if bool(spec.base) != isinstance(spec.method, Merge):
        raise InvalidField.of(
            "model",
            f"{spec.name} is an adapter: merge it first"
            if spec.base
            else f"{spec.name} is no adapter; there is nothing to merge",
        )
    progress.report("weights")
    made = _made(spec, config, progress)
    progress.check_cancelled()
    progress.report("write")
    return _written(spec, manifest, made)


def _made(spec: OptimizeSpec, config: ModelConfig, progress: Progress) -> _Made:
    source = Path(spec.source)
    match spec.method:
        case Merge():
            merged = _merged(config, Path(spec.base), source)
            return _Made(config, merged, "float32", {}, "The adapter was added to its base.")
        case Average() as how:
            parts = [(folder_weights(source), how.weight)]
            parts += [(_same(config, Path(folder)), share) for folder, _, share in how.others]
            words = f"The mean of {len(parts)} versions: {_listed(spec)}."
            return _Made(config, average(parts), "float32", {}, words)
        case Prune() as how:
            _check_llama(config, "pruning")
            weights = folder_weights(source)
            importance = _importance(spec, config, weights, progress)
            smaller, left, report = prune(config, weights, importance, how)
            if not how.neurons:  # what is gone has no distance
                report["squared_error"] = squared_error(weights, left)
            words = f"Pruned: sparsity {how.sparsity:g}, neurons {how.neurons:g}{_with(spec)}."
            return _Made(smaller, left, "float32", report, words)
        case Quantize() as how:
            _check_llama(config, "quantizing")
            return _quantized(spec, config, how, progress)
    raise AssertionError(spec.method)


def _quantized(spec: OptimizeSpec, config: ModelConfig, how: Quantize, progress: Progress) -> _Made:
    """Matrices of layers as asked for; table and head in int8, as engines keep them."""
    weights = folder_weights(Path(spec.source))
    importance = _importance(spec, config, weights, progress)
    tensors: dict[str, Tensor] = {}
    for at, (name, weight) in enumerate(weights.items()):
        progress.check_cancelled()
        progress.report("quantize", at, len(weights), "tensors")
        if weight.dim() != 2 or weight.shape[1] % 2:
            tensors[name] = weight
            continue
        dtype = how.dtype if ".layers." in name else "int8"
        matrix = QUANTIZERS[dtype].quantize(weight, importance.get(name))
        tensors |= to_stored(name, matrix)
    kept = {name: read_stored(name, tensors, tensors.__getitem__) for name in weights}
    report = {"squared_error": squared_error(weights, kept)}
    words = f"Quantized to {how.dtype}{_with(spec)}."
    return _Made(config, tensors, how.dtype, report, words)


def _importance(
    spec: OptimizeSpec, config: ModelConfig, weights: dict[str, Tensor], progress: Progress
) -> dict[str, Tensor]:
    if not spec.calibration:
        return {}
    network = from_weights(config, weights).eval()
    tokenizer = (Path(spec.source) / TOKENIZER).read_bytes()
    return calibrate(network, tokenizer, spec.calibration, spec.calibration_rows, progress)


def _merged(config: ModelConfig, base: Path, adapter: Path) -> dict[str, Tensor]:
    """W + alpha / r * B A of every adapted weight."""
    network = from_weights(config, folder_weights(base))
    merge_adapter(network, adapter)
    return {name: each.detach().float() for name, each in network.state_dict().items()}


def _same(config: ModelConfig, folder: Path) -> dict[str, Tensor]:
    """The weights of another version, if it is the same network."""
    other = msgspec.json.decode((folder / CONFIG).read_bytes(), type=ModelConfig)
    if other != config:
        raise InvalidField.of("average.others", "must be of the same shape, labels included")
    if not (folder / WEIGHTS).exists():
        raise InvalidField.of("average.others", "an adapter has no weights to average: merge it")
    return folder_weights(folder)


def _check_llama(config: ModelConfig, what: str) -> None:
    if "int8" not in family_of(config.architecture).served.get("cpu", ()):
        raise FeatureUnavailable(f"{what} is for the llama family, not for {config.architecture}")


def _with(spec: OptimizeSpec) -> str:
    return f", calibrated on {spec.calibration_name}" if spec.calibration else ""


def _listed(spec: OptimizeSpec) -> str:
    assert isinstance(spec.method, Average)
    return ", ".join([spec.name, *(name for _, name, _ in spec.method.others)])


def _written(spec: OptimizeSpec, before: Manifest, made: _Made) -> Optimized:
    source, folder = Path(spec.source), Path(spec.output)
    check_disk(folder, sum(each.nbytes for each in made.tensors.values()))
    weights = {WEIGHTS: save_tensors(folder / WEIGHTS, made.tensors)}
    small = {name: (source / name).read_bytes() for name in _COPIED if (source / name).exists()}
    small[CONFIG] = encode_json(made.config)
    small[CARD] = _card(spec, before, made, source).encode()
    done = finish_version(folder, _manifest(spec, before, made), weights, small)
    return Optimized(**done._asdict(), report=made.report)


def _manifest(spec: OptimizeSpec, before: Manifest, made: _Made) -> Manifest:
    lineage = {
        "base": spec.name,
        "base_digest": spec.digest,
        "method": msgspec.json.encode(spec.method).decode(),
        "calibration": spec.calibration_name,
        "dataset": before.lineage.get("dataset", ""),
    }
    return Manifest(
        architecture=made.config.architecture,
        family=made.config.family,
        parameter_count=parameter_count(made.config),
        context_length=made.config.context_length,
        vocabulary_size=made.config.vocab_size,
        dtype=made.dtype,
        license=before.license,
        source=before.source,
        chat=before.chat,
        create_time=datetime.now(UTC),
        files={},
        lineage={name: value for name, value in lineage.items() if value},
    )


def _card(spec: OptimizeSpec, before: Manifest, made: _Made, source: Path) -> str:
    lines = [
        f"# {spec.name}, optimized",
        "",
        made.words,
        "",
        f"- License: {before.license or 'not stated'}",
        f"- Made from: {spec.name} {spec.digest}",
        *(f"- {name}: {value:.6g}" for name, value in made.report.items()),
    ]
    card = source / CARD
    if card.exists():
        lines += ["", "---", "", card.read_text().rstrip()]
    return "\n".join(lines) + "\n"
