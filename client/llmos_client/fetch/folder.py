"""Which files of a path make a model, looked at without trusting any of them."""

import stat
from dataclasses import dataclass
from pathlib import Path

from llmos_client.errors import InvalidModelFileError, UnsafeFileError
from llmos_client.upload import open_regular

_WANTED = {
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "model.safetensors.index.json",
}
_ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}
_OF_ADAPTERS = _ADAPTER | {"chat_template.jinja", "tokenizer_config.json"}
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's files in a folder or a single GGUF file, and the format they make together.

    `adapter` says that they are what the peft library writes, and change another model.
    """

    format: str
    paths: tuple[Path, ...]
    adapter: bool = False


def find_model_files(path: Path) -> ModelFiles:
    """Find what to upload of a .gguf file or of a folder as on the Hugging Face Hub."""
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        return _from_folder(path)
    if path.suffix.lower() in _PICKLED:
        raise _pickled(path.name)
    if not stat.S_ISREG(mode):
        raise UnsafeFileError(f'"{path.name}" is not a plain file', code="INVALID_ARGUMENT")
    with open_regular(path) as file:
        if file.read(4) != b"GGUF":
            raise InvalidModelFileError(
                f'"{path.name}" is not a GGUF file; give a .gguf file, or a folder with'
                " config.json, tokenizer.json and .safetensors files",
                code="INVALID_ARGUMENT",
            )
    return ModelFiles("gguf", (path,))


def _from_folder(folder: Path) -> ModelFiles:
    names = sorted(entry.name for entry in folder.iterdir())
    weights = [name for name in names if name.endswith(".safetensors")]
    if not weights:
        raise _no_weights(folder, names)
    adapter = _ADAPTER.issubset(names)
    if "config.json" not in names and not adapter:
        raise InvalidModelFileError(f'"{folder.name}" has no config.json', code="INVALID_ARGUMENT")
    wanted = _OF_ADAPTERS if adapter else _WANTED.union(weights)
    chosen = [folder / name for name in names if name in wanted]
    for path in chosen:
        if not stat.S_ISREG(_mode(path)):
            raise UnsafeFileError(f'"{path.name}" is not a plain file', code="INVALID_ARGUMENT")
    return ModelFiles("hugging_face", tuple(chosen), adapter)


def _no_weights(folder: Path, names: list[str]) -> InvalidModelFileError:
    pickled = next((name for name in names if name.endswith(_PICKLED)), None)
    if pickled is not None:
        return _pickled(pickled)
    ggufs = [name for name in names if name.lower().endswith(".gguf")]
    hint = f"; name one of its files: {', '.join(ggufs)}" if ggufs else ""
    return InvalidModelFileError(
        f'"{folder.name}" has no .safetensors files{hint}', code="INVALID_ARGUMENT"
    )


def _pickled(name: str) -> InvalidModelFileError:
    return InvalidModelFileError(
        f'"{name}" is a pickle: loading one runs whatever code is in it. Convert it to'
        " safetensors (safe_open and save_file of the safetensors package) and import that",
        code="INVALID_ARGUMENT",
    )


def _mode(path: Path) -> int:
    # stat follows links, and opens nothing: a FIFO cannot make it wait.
    return path.stat().st_mode
