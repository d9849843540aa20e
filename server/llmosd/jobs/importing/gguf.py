"""A GGUF file as a Source."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.bounds import check_memory
from llmosd.jobs.importing.gguf_config import gguf_config
from llmosd.jobs.importing.gguf_names import gguf_weights
from llmosd.jobs.importing.gguf_reader import GgufFile
from llmosd.jobs.importing.gguf_tokenizer import gguf_tokenizer
from llmosd.jobs.importing.source import Source, checked_license, checked_template


@contextmanager
def open_gguf(files: Mapping[str, Path], memory_bytes: int) -> Iterator[Source]:
    """Read everything but the weights, which can be read until the context ends."""
    if len(files) != 1:
        raise InvalidModelFile(f"GGUF: one file is needed, not {len(files)}")
    (path,) = files.values()
    with GgufFile(str(path)) as file:
        config = gguf_config(file)
        check_memory(config, memory_bytes)
        weights = gguf_weights(file, config)
        tokenizer, generation = gguf_tokenizer(file.metadata, config.vocab_size)
        yield Source(
            config=config,
            weights=weights,
            tokenizer=tokenizer,
            generation=generation,
            chat_template=checked_template(file.metadata.get("tokenizer.chat_template")),
            license=checked_license(file.metadata.get("general.license")),
        )
