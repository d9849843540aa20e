"""Checkpoints: ckpt/step-000500/ with weights, the optimizer's state, and state.json.

A folder is filled under another name, made durable, renamed, and only then marked DONE; what has
no DONE, or other bytes than state.json says, is never resumed from. No pickle: safetensors and
JSON. There is no state of random numbers: every step's are made from the seed and its number.
"""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from llmosd.errors import DataCorrupt, InsufficientDisk
from llmosd.full_disk import is_full
from llmosd.store.files import sync_folder, write_durably
from llmosd.store.manifest import FileEntry, encode_json

WEIGHTS, OPTIMIZER, STATE, DONE = "model.safetensors", "optim.safetensors", "state.json", "DONE"
_SPARE = 64 * 1024 * 1024


class RunState(msgspec.Struct, kw_only=True):
    """What a run knows beside its tensors.

    Attributes:
        step: steps done, which is the position in the data too.
        tokens, seconds: read and spent so far, in all processes.
        rate_scale: what the learning rate is multiplied with after a rollback.
        strikes: steps in a row, or nearly, that were not finite; see `loop.Guard`.
        good_steps: finite steps since.
        before: metrics before the first step, where the run started from a model.
        evaluated: step and value of the watched metric, every evaluation.
        best_step, best: where the watched metric was best.
        losses: the last ones, newest last.
        secret: of differential privacy: what examples and noise are drawn by.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    rate_scale: float = 1.0
    strikes: int = 0
    good_steps: int = 0
    before: dict[str, float] = {}
    latest: dict[str, float] = {}
    evaluated: list[tuple[int, float]] = []
    best_step: int = -1
    best: float = 0.0
    losses: list[float] = []
    secret: int = 0


class _StateFile(msgspec.Struct, kw_only=True):
    """state.json. `run` says which run it is of: resuming another's is refused."""

    run: str
    state: RunState
    files: dict[str, FileEntry]


class Loaded(NamedTuple):
    """A checkpoint, read back."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: RunState


class Checkpoints:
    """Those of one run, in `folder`; the newest `keep` stay, beside the best."""

    def __init__(self, folder: Path, *, run: str, keep: int) -> None:
        """`run` identifies what is trained, and on what: a digest of the spec."""
        self._folder = folder
        self._run = run
        self._keep = max(1, keep)
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*"):
            shutil.rmtree(left, ignore_errors=True)

    def save(
        self, weights: dict[str, Tensor], optimizer: dict[str, Tensor], state: RunState
    ) -> int:
        """Write the checkpoint of `state.step`, and delete what need not stay; returns its bytes.

        Raises:
            InsufficientDisk: and the checkpoints before it stay.
        """
        name = f"step-{state.step:06d}"
        needed = sum(each.nbytes for each in (*weights.values(), *optimizer.values()))
        check_disk(self._folder, needed)
        temporary = self._folder / f".{name}"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            size = self._fill(temporary, weights, optimizer, state)
            final = self._folder / name
            if final.exists():
                shutil.rmtree(final)
            temporary.rename(final)
            sync_folder(self._folder)
            write_durably(final, DONE, b"")
        except (OSError, SafetensorError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if is_full(error):
                raise InsufficientDisk("the disk is full: the checkpoint was not written") from None
            raise
        self._prune(state)
        return size

    def newest(self) -> tuple[Loaded | None, list[str]]:
        """The newest checkpoint that is whole, and what is wrong with newer ones."""
        wrong: list[str] = []
        for step in sorted(self.steps(), reverse=True):
            try:
                return self.load(step), wrong
            except DataCorrupt as error:
                wrong.append(f"the checkpoint of step {step} is not used: {error.message}")
        return None, wrong

    def steps(self) -> list[int]:
        """Of all folders, whole or not."""
        return sorted(int(path.name[5:]) for path in self._folder.glob("step-*"))

    def load(self, step: int) -> Loaded:
        """Read one, comparing every byte with its digest.

        Raises:
            DataCorrupt: where it was not finished, is damaged, or is another run's.
        """
        folder = self._folder / f"step-{step:06d}"
        if not (folder / DONE).exists():
            raise DataCorrupt("it was not finished")
        try:
            found = msgspec.json.decode((folder / STATE).read_bytes(), type=_StateFile)
        except (OSError, msgspec.MsgspecError) as error:
            raise DataCorrupt(f"{STATE} is damaged: {error}") from None
        if found.run != self._run:
            raise DataCorrupt("it is of another run")
        for name, entry in found.files.items():
            with contextlib.suppress(OSError):
                if digest(folder / name) == entry:
                    continue
            raise DataCorrupt(f"{name} is missing or damaged")
        return Loaded(load_file(folder / WEIGHTS), load_file(folder / OPTIMIZER), found.state)

    def _fill(
        self,
        folder: Path,
        weights: dict[str, Tensor],
        optimizer: dict[str, Tensor],
        state: RunState,
    ) -> int:
        folder.mkdir()
        files = {
            WEIGHTS: save_tensors(folder / WEIGHTS, weights),
            OPTIMIZER: save_tensors(folder / OPTIMIZER, optimizer),
        }
        text = encode_json(_StateFile(run=self._run, state=state, files=files))
        write_durably(folder, STATE, text)
        return len(text) + sum(entry.bytes for entry in files.values())

    def _prune(self, state: RunState) -> None:
        # Later ones, torn or of another course, are not what this run goes on from.
        own = sorted(step for step in self.steps() if step <= state.step)
        kept = {*own[-self._keep :], state.best_step}
        for step in self.steps():
            if step not in kept or step > state.step:
                folder = self._folder / f"step-{step:06d}"
                # First the mark: half a folder must not look whole.
                (folder / DONE).unlink(missing_ok=True)
                shutil.rmtree(folder)


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> FileEntry:
    """Write a safetensors file, fsynced."""
    whole = {name: each.detach().contiguous() for name, each in tensors.items()}
    save_file(whole, path, metadata={"format": "pt"})
    path.chmod(0o640)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return digest(path)


def digest(path: Path) -> FileEntry:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path.stat().st_size, sha256)


def check_disk(folder: Path, needed: int) -> None:
    """Raise InsufficientDisk unless `needed` bytes, and some to spare, are free."""
    free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        raise InsufficientDisk(
            f"{needed} bytes of disk are needed, and {free} are free",
            metadata={"needed_bytes": str(needed), "available_bytes": str(free)},
        )
