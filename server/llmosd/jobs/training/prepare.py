"""What a run needs before its first step: a tokenizer, and the datasets as tokens."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import msgspec

from llmosd.architectures.families.table import family_of
from llmosd.errors import InvalidField
from llmosd.jobs.data.tokenize import TokenizeOptions, tokenize_dataset
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.jobs.data.tokenizers import train_tokenizer
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training.result import ModelFiles
from llmosd.progress import Progress
from llmosd.store.datasets import DatasetReader, Split
from llmosd.store.files import read_regular, write_durably
from llmosd.store.manifest import (
    CHAT_TEMPLATE,
    GENERATION,
    TOKENIZER,
    GenerationDefaults,
    encode_json,
)
from llmosd.text.templates import TemplateRenderer
from llmosd.text.training_text import TrainingText

_LARGEST = 64 * 1024 * 1024


class Prepared(NamedTuple):
    """The tokens to train and to evaluate on, and the small files that the result takes over."""

    train: TokenizedDataset
    validation: TokenizedDataset | None
    files: ModelFiles


def prepare(spec: TrainSpec, folder: Path, cache: Path, progress: Progress) -> Prepared:
    """Tokenize, through the `cache`; a tokenizer trained for this run is kept in its `folder`.

    Raises:
        InvalidField: the dataset has no rows to train on.
        InvalidDataset, FeatureUnavailable: see `tokenize_dataset`.
        OperationCancelled.
    """
    with DatasetReader(Path(spec.dataset)) as reader:
        files = _model_files(spec, folder, reader, progress)
        train = _tokens(spec, reader, "train", files, cache, progress)
        validation = None
        if not spec.validation and reader.manifest.splits.get("validation", 0):
            validation = _tokens(spec, reader, "validation", files, cache, progress)
    if not len(train):
        raise InvalidField.of("dataset", "no row is in its training split")
    if spec.validation:
        with DatasetReader(Path(spec.validation)) as reader:
            names = train.label_names
            validation = _tokens(spec, reader, None, files, cache, progress, names)
    prompts = asyncio.run(_prompts(spec, files))
    return Prepared(train, validation, files._replace(prompts=prompts))


async def _prompts(spec: TrainSpec, files: ModelFiles) -> tuple[list[int], ...]:
    """The ids of the samples' prompts, asked as a user would ask the finished model."""
    if not spec.samples:
        return ()
    defaults = msgspec.json.decode(files.generation, type=GenerationDefaults)
    template = files.chat_template.decode() if files.chat_template is not None else None
    renderer = TemplateRenderer()
    try:
        text = TrainingText(files.tokenizer, defaults, template, renderer)
        return tuple([await text.prompt(each) for each in spec.samples])
    finally:
        await renderer.close()


def _tokens(
    spec: TrainSpec,
    reader: DatasetReader,
    split: Split | None,
    files: ModelFiles,
    cache: Path,
    progress: Progress,
    label_names: tuple[str, ...] = (),
) -> TokenizedDataset:
    """Of a split; `label_names` numbers classes as another dataset's rows are numbered."""
    template = files.chat_template
    return tokenize_dataset(
        reader,
        split,
        files.tokenizer,
        msgspec.json.decode(files.generation, type=GenerationDefaults),
        template.decode() if template is not None else None,
        cache,
        progress,
        TokenizeOptions(max_length=spec.sequence_length, label_names=label_names),
    )


def _model_files(
    spec: TrainSpec, folder: Path, reader: DatasetReader, progress: Progress
) -> ModelFiles:
    """Of the version that is named, or trained now, once for all restarts of the run."""
    if spec.init_from:
        return _read(Path(spec.adapter or spec.init_from))
    if family_of(spec.family).starts:
        return _with_start(_tokenizer_files(spec, folder, reader, progress))
    return _tokenizer_files(spec, folder, reader, progress)


def _tokenizer_files(
    spec: TrainSpec, folder: Path, reader: DatasetReader, progress: Progress
) -> ModelFiles:
    """Of a network from scratch: another version's, or trained now."""
    if spec.tokenizer:
        return _read(Path(spec.tokenizer))
    if not (folder / TOKENIZER).exists():
        made = train_tokenizer(reader, spec.tokenizer_kind, spec.vocabulary_size, progress)
        write_durably(folder, GENERATION, encode_json(made.defaults))
        write_durably(folder, TOKENIZER, made.tokenizer_json)
    return _read(folder)


def _with_start(files: ModelFiles) -> ModelFiles:
    """For an encoder-decoder: the end token ends the prompt, too, and nothing else begins it."""
    defaults = msgspec.json.decode(files.generation, type=GenerationDefaults)
    if not defaults.eos_token_ids:
        raise InvalidField.of("tokenizer_from", "its tokenizer has no end token")
    changed = msgspec.structs.replace(
        defaults, add_bos=False, start_token_id=defaults.eos_token_ids[0]
    )
    return ModelFiles(files.tokenizer, encode_json(changed))


def _read(folder: Path) -> ModelFiles:
    template = None
    if (folder / CHAT_TEMPLATE).exists():
        template = read_regular(folder, CHAT_TEMPLATE, _LARGEST)
    return ModelFiles(
        read_regular(folder, TOKENIZER, _LARGEST),
        read_regular(folder, GENERATION, _LARGEST),
        template,
    )
