"""A dataset's tokens, kept on disk under a name that is a digest of all that they depend on.

<cache>/<key>/ is a folder of `token_files`. Safe to delete: what is not whole is made again.
"""

import asyncio
import hashlib
import secrets
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tokenizers

from llmosd.jobs.data.encode_rows import RowEncoder
from llmosd.jobs.data.token_files import TokenizeOptions, TokenWriter, open_tokens
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.progress import Progress
from llmosd.store.datasets import DatasetReader, Split
from llmosd.store.manifest import GenerationDefaults
from llmosd.text.templates import TemplateRenderer
from llmosd.text.training_text import TrainingText

__all__ = ["TokenizeOptions", "tokenize_dataset"]

STAGE = "tokenize"
_FORMAT = 1


def tokenize_dataset(
    reader: DatasetReader,
    split: Split | None,
    tokenizer_json: bytes,
    generation_defaults: GenerationDefaults,
    chat_template: str | None,
    cache_root: Path,
    progress: Progress,
    options: TokenizeOptions | None = None,
) -> TokenizedDataset:
    """The tokens of a split (None: of all rows), from the cache or made now; arrays are mapped.

    Of a split without rows, a dataset of no examples. Must not be called from a running event loop.

    Raises:
        InvalidDataset: naming the row that has no token to learn from, is longer than `max_length`,
            or whose turns the template does not keep apart.
        FeatureUnavailable: conversations, and no template.
        OperationCancelled, DataCorrupt.
    """
    options = options or TokenizeOptions()
    key = _key(reader, split, tokenizer_json, generation_defaults, chat_template, options)
    folder, digest = cache_root / key, f"sha256:{key}"
    found = open_tokens(folder, digest)
    if found is not None:
        return found
    work = cache_root / f".{key[:16]}.{secrets.token_hex(4)}"
    work.mkdir(parents=True, mode=0o750)
    try:
        with TokenWriter(work, reader, options) as writer:
            text = (tokenizer_json, generation_defaults, chat_template)
            asyncio.run(_fill(writer, reader, split, *text, progress))
            writer.finish()
        _put(work, folder)
        found = open_tokens(folder, digest)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    assert found is not None, "what was just written can be read"
    return found


def _put(work: Path, folder: Path) -> None:
    """Move what was made to its place, unless another job was quicker."""
    try:
        work.rename(folder)
    except OSError:
        if open_tokens(folder, "") is not None:
            return
        shutil.rmtree(folder, ignore_errors=True)  # what is there is damaged
        work.rename(folder)


async def _fill(
    writer: TokenWriter,
    reader: DatasetReader,
    split: Split | None,
    tokenizer_json: bytes,
    defaults: GenerationDefaults,
    template: str | None,
    progress: Progress,
) -> None:
    renderer = TemplateRenderer()
    try:
        text = TrainingText(tokenizer_json, defaults, template, renderer)
        writer.ids_dtype = np.dtype("<u2" if len(text.vocabulary) <= 1 << 16 else "<u4")
        encoder = RowEncoder(text, append_eos=writer.options.append_eos)
        total = len(reader) if split is None else reader.manifest.splits.get(split, 0)
        done = 0
        async for index, row, examples in encoder.examples(reader, split):
            progress.check_cancelled()
            done += 1
            progress.report(STAGE, done, total, "rows")
            writer.add(index, row, examples)
    finally:
        await renderer.close()


def _key(
    reader: DatasetReader,
    split: Split | None,
    tokenizer_json: bytes,
    defaults: GenerationDefaults,
    template: str | None,
    options: TokenizeOptions,
) -> str:
    """A digest of everything that the tokens depend on."""
    parts: dict[str, Any] = {
        "format": _FORMAT,
        "dataset": reader.digest,
        "split": split,
        "tokenizer": hashlib.sha256(tokenizer_json).hexdigest(),
        "library": tokenizers.__version__,
        "begin": defaults.bos_token_id if defaults.add_bos else None,
        "start": defaults.start_token_id,
        "tokens": [defaults.bos_token, defaults.eos_token, defaults.eos_token_ids],
        "template": template,
        "options": options,
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()
