"""Rows of the catalog as frozen structs."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from llmosd.store.names import (
    dataset_name,
    dataset_version_name,
    model_name,
    version_name,
)

OperationState = Literal["RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "INTERRUPTED"]
Phase = Literal["", "QUEUED", "RUNNING", "PAUSED"]

RUNNING: OperationState = "RUNNING"


class VersionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model: all of llmos.v1.ModelVersion except residency.

    `architecture` names a record of architectures.families, `family` what ModelVersion.architecture
    shows; `digest` is "sha256:…" of manifest.json; `byte_size` of all files. `notes`
    are what people should know that became known later, a line each.
    """

    model_id: str
    version: int
    create_time: datetime
    architecture: str
    family: str
    parameter_count: int
    context_length: int
    vocabulary_size: int
    dtype: str
    byte_size: int
    digest: str
    license: str = ""
    source: str = ""
    chat: bool = False
    notes: str = ""

    @property
    def name(self) -> str:
        """The resource name."""
        return version_name(self.model_id, self.version)


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A model: its aliases (alias to version number), and the version behind "live"."""

    model_id: str
    create_time: datetime
    aliases: dict[str, int]
    live: VersionRecord
    version_count: int

    @property
    def name(self) -> str:
        """The resource name."""
        return model_name(self.model_id)


class WantedRecord(msgspec.Struct, frozen=True):
    """A version that should be loaded; `keep_alive` in seconds, negative never, None default.

    A `pinned` one was asked for by its number, so no alias that moves takes it out of memory.
    """

    model_id: str
    version: int
    keep_alive: float | None
    dtype: str
    pinned: bool = False


class DatasetVersionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a dataset; `digest` is "sha256:…" of its content, see `store.datasets`."""

    dataset_id: str
    version: int
    create_time: datetime
    kind: str
    row_count: int
    byte_size: int
    digest: str
    license: str = ""
    source: str = ""

    @property
    def name(self) -> str:
        """The resource name."""
        return dataset_version_name(self.dataset_id, self.version)


class DatasetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset and its newest version, which the bare name means."""

    dataset_id: str
    create_time: datetime
    newest: DatasetVersionRecord
    version_count: int

    @property
    def name(self) -> str:
        """The resource name."""
        return dataset_name(self.dataset_id)


class OperationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A long-running operation. `result` is what `finish` was given, for the caller to decode.

    `position` orders operations by creation, and is what a page token holds. A `durable` one has
    a run directory and outlives the daemon; `phase` is where it stands while its state is RUNNING.
    `tenant` is for whom it is, "" for nobody in particular.
    """

    position: int
    operation_id: str
    kind: str
    target: str
    state: OperationState
    request_id: str
    payload_digest: str
    create_time: datetime
    end_time: datetime | None
    result: bytes | None
    durable: bool = False
    phase: Phase = ""
    tenant: str = ""


class EventRecord(msgspec.Struct, frozen=True):
    """One event of an operation; `sequence` is 1, 2, 3… without a gap."""

    sequence: int
    create_time: datetime
    payload: bytes


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970, as stored."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def now() -> datetime:
    """The time, in UTC, to the microsecond."""
    return datetime.now(UTC)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
