"""The run directory of a durable job: the truth about it, whoever else is alive.

    operations/ID/
      spec.json      what was asked; never changed
      lock           flock held by the worker: held means alive, whatever process ids say
      control.json   what the job should do now: run, pause or cancel
      events.jsonl   what it did; see run_events
      ckpt/ out/     its own
      stderr.log     what it printed

The front takes the lock and hands the descriptor to the worker; so there is no moment at which two
workers can hold it, and it is free the moment the worker ends, however it ends.
"""

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any, Literal

import msgspec

from llmosd.errors import DataCorrupt
from llmosd.store.files import sync_folder, write_durably
from llmosd.store.records import now
from llmosd.store.run_events import EventLine, JobEnd, JobEvent

SPEC = "spec.json"
EVENTS = "events.jsonl"
CONTROL = "control.json"
LOCK = "lock"
STDERR = "stderr.log"
CHECKPOINTS = "ckpt"
OUT = "out"

# What stands for the state directory in a spec that has left it.
_ELSEWHERE = b"/@llmos-state@"

Desired = Literal["run", "pause", "cancel"]


class Resources(msgspec.Struct, frozen=True):
    """What a job takes while it runs; the queue adds it up."""

    threads: int = 1
    memory_bytes: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """spec.json: `job` is the JSON of the kind's own struct, `reads` the resources it needs."""

    kind: str = ""
    resources: Resources = Resources()
    job: msgspec.Raw
    reads: list[str] = []


class Control(msgspec.Struct, frozen=True):
    """What a job should do.

    `saves` counts the checkpoints asked for; `give_way` holds while models answer somebody.
    """

    desired: Desired = "run"
    saves: int = 0
    give_way: bool = False


def portable(spec: bytes, state: Path) -> bytes:
    """A spec without the place of its state directory: the paths in it begin with a mark."""
    return spec.replace(b'"%s/' % os.fsencode(state), b'"%s/' % _ELSEWHERE)


def settled(spec: bytes, state: Path) -> bytes:
    """A portable spec at home in a state directory."""
    return spec.replace(b'"%s/' % _ELSEWHERE, b'"%s/' % os.fsencode(state))


class RunDirectory:
    """One run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, order: Order) -> "RunDirectory":
        """Make the folder with its spec; there under its name whole, or not at all."""
        aside = path.with_name(f".new-{path.name}")
        aside.mkdir(parents=True, mode=0o750)
        for name in (CHECKPOINTS, OUT):
            (aside / name).mkdir(mode=0o750)
        for name in (LOCK, EVENTS):
            (aside / name).touch(mode=0o640)
        write_durably(aside, SPEC, msgspec.json.encode(order))
        write_durably(aside, CONTROL, msgspec.json.encode(Control()))
        aside.rename(path)
        sync_folder(path.parent)
        return cls(path)

    def delete(self) -> None:
        """Remove the folder: gone from its name before its files are removed."""
        aside = self.path.with_name(f".old-{self.path.name}")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return
        shutil.rmtree(aside, ignore_errors=True)

    def clear(self) -> None:
        """Remove what an ended job left to go on from, and its result, which is published."""
        for name in (CHECKPOINTS, OUT):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def take_lock(self) -> int | None:
        """Lock for a worker to be started; None where one holds it. The caller closes it."""
        fd = os.open(self.path / LOCK, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    @property
    def alive(self) -> bool:
        """Whether a worker holds the lock."""
        fd = self.take_lock()
        if fd is None:
            return True
        os.close(fd)
        return False

    def record_worker(self, lock: int, pid: int) -> None:
        """Write who holds the lock, for whoever has to end it; 0: this daemon itself."""
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d" % pid, 0)

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker; None where none runs, or it is only being started."""
        if not self.alive:
            return None
        text = (self.path / LOCK).read_bytes()
        return int(text) or None if text.isdigit() else None

    def order(self) -> Order:
        """What was asked; raises DataCorrupt where it is gone or damaged."""
        try:
            return msgspec.json.decode((self.path / SPEC).read_bytes(), type=Order)
        except (OSError, msgspec.MsgspecError):
            raise DataCorrupt(f'file "{SPEC}" of the operation is missing or damaged') from None

    def control(self) -> Control:
        """What the job should do now; a damaged file asks for nothing."""
        try:
            return msgspec.json.decode((self.path / CONTROL).read_bytes(), type=Control)
        except (OSError, msgspec.MsgspecError):
            return Control()

    def change_control(self, *, durable: bool = True, **changes: Any) -> None:
        """Change fields of the control file; not `durable`: without waiting for the disk."""
        changed = msgspec.json.encode(msgspec.structs.replace(self.control(), **changes))
        if durable:
            write_durably(self.path, CONTROL, changed)
            return
        temporary = self.path / f".{CONTROL}"
        temporary.write_bytes(changed)
        temporary.replace(self.path / CONTROL)


class EventReader:
    """Reads events.jsonl as it grows."""

    def __init__(self, run: RunDirectory) -> None:
        self._path = run.path / EVENTS
        self._offset = self._next = 0

    def peek(self) -> list[EventLine]:
        """Lines that are new since the last `accept`; one that is still being written is left.

        Raises DataCorrupt where a line is not what a job writes.
        """
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._next = self._offset + len(whole)
        try:
            return [msgspec.json.decode(line, type=EventLine) for line in whole.splitlines()]
        except msgspec.MsgspecError as error:
            raise DataCorrupt(f'file "{EVENTS}" of the operation is damaged: {error}') from None

    def accept(self) -> None:
        """Go on after what `peek` returned."""
        self._offset = self._next


class EventWriter:
    """Appends to events.jsonl; the worker's, or the front's while there is no worker."""

    def __init__(self, run: RunDirectory, after: int = 0) -> None:
        """Cut off a line that an earlier worker did not finish, and go on after the last one.

        `after` is the last number that anybody saw: a power cut may have taken lines from the file
        that watchers have read, and numbers are given once.
        """
        self._path = run.path / EVENTS
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        self.lines = [msgspec.json.decode(line, type=EventLine) for line in whole.splitlines()]
        self._file = self._path.open("r+b", buffering=0)
        self._file.truncate(len(whole))
        self._file.seek(len(whole))
        self._sequence = max(after, self.lines[-1].sequence if self.lines else 0)

    @property
    def ended(self) -> JobEnd | None:
        """The outcome, if there was one when this was opened."""
        last = self.lines[-1].event if self.lines else None
        return last if isinstance(last, JobEnd) else None

    def write(self, event: JobEvent, *, durable: bool = False) -> None:
        """Append one event; `durable` ones, and all before, are on disk when this returns."""
        line = msgspec.json.encode(EventLine(self._sequence + 1, now(), event)) + b"\n"
        start = self._file.tell()
        try:
            # One write, so that a reader never sees part of two lines.
            written = self._file.write(line)
        except OSError:
            written = 0
        if written != len(line):
            self._file.truncate(start)
            self._file.seek(start)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._sequence += 1
        if durable:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
