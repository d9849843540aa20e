"""The import job: uploaded files in, a complete version folder out."""

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from llmosd.architectures.families.table import parameter_count
from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.adapter import open_adapter
from llmosd.jobs.importing.bounds import machine_memory
from llmosd.jobs.importing.gguf import open_gguf
from llmosd.jobs.importing.hugging_face import open_hugging_face
from llmosd.jobs.importing.sniff import refuse_foreign_formats
from llmosd.jobs.importing.source import Source
from llmosd.jobs.importing.weights import ITEM_BYTES
from llmosd.jobs.importing.writer import write_weights
from llmosd.jobs.messages import ImportResult, ImportSpec, ModelFormat
from llmosd.progress import Progress
from llmosd.store.files import open_regular
from llmosd.store.manifest import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CARD,
    CHAT_TEMPLATE,
    CONFIG,
    GENERATION,
    TOKENIZER,
    WEIGHTS,
    Dtype,
    Manifest,
    encode_json,
)
from llmosd.store.version_folder import finish_version

STAGE_READ, STAGE_WEIGHTS = "read", "weights"
_HASH_CHUNK = 1 << 20

_READERS: dict[ModelFormat, Callable[[Mapping[str, Path], int], AbstractContextManager[Source]]] = {
    "gguf": open_gguf,
    "hugging_face": open_hugging_face,
}


def import_model(spec: ImportSpec, progress: Progress) -> ImportResult:
    """Convert `spec.files` into the folder `spec.output`, every file fsynced, the manifest last.

    Stages: "read" (structure, tokenizer; bounded work), "digest" and "weights" (in bytes). Raises
    InvalidModelFile, DataCorrupt, InsufficientMemory, InsufficientDisk, UnsafeFile,
    OperationCancelled; the folder is then the caller's to discard.
    """
    files = {name: Path(path) for name, path in spec.files.items()}
    output = Path(spec.output)
    progress.report(STAGE_READ)
    for path in files.values():
        os.close(open_regular(path.parent, path.name))
    refuse_foreign_formats(files)
    memory_bytes = spec.memory_bytes or machine_memory()
    with _open(spec, files, memory_bytes) as source:
        lineage = {"format": spec.format} | _digests(files, progress)
        small = _small_files(source, spec)
        name = WEIGHTS if source.adapter is None else ADAPTER_WEIGHTS
        weights = {name: write_weights(output / name, source.weights, spec.dtype, progress)}
        manifest = _manifest(spec, source, lineage)
    return ImportResult(**finish_version(output, manifest, weights, small)._asdict())


def _open(
    spec: ImportSpec, files: Mapping[str, Path], memory_bytes: int
) -> AbstractContextManager[Source]:
    if spec.base:
        return open_adapter(files, Path(spec.base_dir), memory_bytes)
    if ADAPTER_CONFIG in files:
        raise InvalidModelFile(f"{ADAPTER_CONFIG} is an adapter's: name the version of its base")
    return _READERS[spec.format](files, memory_bytes)


def _small_files(source: Source, spec: ImportSpec) -> dict[str, bytes]:
    files = {
        CONFIG: encode_json(source.config),
        TOKENIZER: source.tokenizer.encode(),
        GENERATION: encode_json(msgspec.structs.replace(source.generation, **spec.sampling)),
        CARD: _card(source, spec).encode(),
    }
    if source.chat_template is not None:
        files[CHAT_TEMPLATE] = source.chat_template.encode()
    if source.adapter is not None:
        files[ADAPTER_CONFIG] = encode_json(source.adapter)
    return files


def _manifest(spec: ImportSpec, source: Source, lineage: dict[str, str]) -> Manifest:
    config = source.config
    return Manifest(
        architecture=config.architecture,
        family=config.family,
        parameter_count=parameter_count(config),
        context_length=config.context_length,
        vocabulary_size=config.vocab_size,
        dtype=spec.dtype or _main_dtype(source),
        license=spec.license or source.license,
        source=spec.source,
        chat=source.chat_template is not None,
        create_time=datetime.now(UTC),
        files={},
        lineage=lineage,
        adapter_base=spec.base,
    )


def _main_dtype(source: Source) -> Dtype:
    """The type that most bytes have: norms are often kept wider than matrices."""
    totals: dict[Dtype, int] = {}
    for weight in source.weights.values():
        size = weight.size * ITEM_BYTES[weight.dtype]
        totals[weight.dtype] = totals.get(weight.dtype, 0) + size
    return max(totals, key=lambda dtype: totals[dtype])


def _card(source: Source, spec: ImportSpec) -> str:
    config = source.config
    what = f"An adapter to {spec.base}" if spec.base else f"A {config.family} model"
    lines = [
        f"# {what}",
        "",
        (
            f"{parameter_count(config):,} parameters, {config.num_layers} layers, context of "
            f"{config.context_length:,} tokens, vocabulary of {config.vocab_size:,}."
        ),
        "",
        f"- License: {spec.license or source.license or 'not stated'}",
        f"- Source: {spec.source or 'not stated'}",
        f"- Imported from: {spec.format}",
    ]
    return "\n".join(lines) + "\n"


def _digests(files: Mapping[str, Path], progress: Progress) -> dict[str, str]:
    """Where the version comes from: "sha256:…" of each input file."""
    total = sum(path.stat().st_size for path in files.values())
    done = 0
    digests: dict[str, str] = {}
    for name, path in files.items():
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_HASH_CHUNK):
                progress.check_cancelled()
                digest.update(chunk)
                done += len(chunk)
                progress.report("digest", done, total, "bytes")
        digests[name] = f"sha256:{digest.hexdigest()}"
    return digests
