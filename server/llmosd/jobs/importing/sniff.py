"""Refusing what is no model format of ours, by name and first bytes, before anything reads it.

Pickles run code when loaded, and zip and numpy files may hold pickles: nothing here opens them.
"""

from collections.abc import Mapping
from pathlib import Path

from llmosd.errors import InvalidModelFile

_SUFFIXES = {
    ".bin": "a PyTorch pickle",
    ".pt": "a PyTorch pickle",
    ".pth": "a PyTorch pickle",
    ".ckpt": "a PyTorch pickle",
    ".pkl": "a pickle",
    ".pickle": "a pickle",
    ".joblib": "a pickle",
    ".npy": "a numpy file",
    ".npz": "a numpy file",
    ".zip": "a zip file",
    ".tar": "an archive",
    ".gz": "an archive",
    ".h5": "an HDF5 file",
    ".keras": "a Keras file",
    ".onnx": "an ONNX file",
    ".py": "a program",
}
_MAGICS = {
    b"PK\x03\x04": "a zip file, or a PyTorch one",
    b"PK\x05\x06": "a zip file",
    b"\x93NUMPY": "a numpy file",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "an archive",
    b"BZh": "an archive",
    b"\xfd7zXZ": "an archive",
    b"\x28\xb5\x2f\xfd": "an archive",
    b"\x78\x9c": "a compressed pickle",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}
_HEAD = 16


def refuse_foreign_formats(files: Mapping[str, Path]) -> None:
    """Raise InvalidModelFile, saying what to do, for any file that is not text, GGUF, safetensors.

    `files` are name to path. Reads 16 bytes of each.
    """
    for name, path in files.items():
        what = _SUFFIXES.get(Path(name).suffix.lower())
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if not name.lower().endswith(".safetensors"):
            # A safetensors file starts with a length, which may look like anything.
            what = what or next((w for magic, w in _MAGICS.items() if head.startswith(magic)), None)
        elif head[8:9] not in {b"{", b""}:
            what = "named safetensors, but does not hold it"
        if what is not None:
            raise InvalidModelFile(
                f'unsupported format: "{name}" is {what}; export it as safetensors or GGUF'
            )
