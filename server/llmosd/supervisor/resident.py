"""One wanted model version: what it holds, and since when nobody used it."""

import enum
import time
from datetime import UTC, datetime, timedelta

from llmosd import device
from llmosd.errors import EngineLost, LlmosError
from llmosd.store.records import VersionRecord
from llmosd.supervisor.engine_handle import EngineHandle
from llmosd.supervisor.model_handle import ModelHandle


class State(enum.Enum):
    """As llmos.v1.Residency.State."""

    LOADING = "LOADING"
    LOADED = "LOADED"
    UNLOADING = "UNLOADING"
    IDLE = "IDLE"
    RESTARTING = "RESTARTING"
    FAILED = "FAILED"


class Resident:
    """Mutable; only ModelPool changes it."""

    def __init__(self, record: VersionRecord, dtype: str) -> None:
        """A version that is wanted and not in memory yet."""
        self.record = record
        self.dtype = dtype
        self.keep_alive: float | None = None  # seconds; negative: for ever
        self.state = State.IDLE
        self.wanted = True  # by somebody; else it is in memory for its adapters alone
        self.base: Resident | None = None  # in whose process it is, being an adapter
        self.adapters: set[Resident] = set()  # that are in its process, or on their way there
        self.handle: ModelHandle | None = None
        self.failure: LlmosError | None = None
        self.restarts = 0
        self.recent_losses = 0
        self.past_ended = 0
        self.past_faults = 0
        self.estimated = 0
        self.bytes_before = 0
        self.bytes_loaded = 0
        self.loaded_at = 0.0
        self.last_use = time.monotonic()

    def touch(self) -> None:
        """Note a use."""
        self.last_use = time.monotonic()

    @property
    def engine(self) -> EngineHandle:
        """Its process, where it has one of its own; raises EngineLost."""
        if not isinstance(self.handle, EngineHandle):
            raise EngineLost("the model's process was lost; try again", retry_after=1.0)
        return self.handle

    @property
    def ended(self) -> int:
        """Requests that its processes brought to an end, one way or another."""
        return self.past_ended + (self.handle.ended if self.handle else 0)

    @property
    def faults(self) -> int:
        """Of these, the ones that failed by the version's or its process's own fault."""
        return self.past_faults + (self.handle.faults if self.handle else 0)

    @property
    def expired(self) -> bool:
        """Whether its keep-alive has passed; a running generation is a use."""
        if self.handle is None or self.keep_alive is None or self.keep_alive < 0:
            return False
        if self.handle.num_generations:
            self.touch()
        return time.monotonic() - self.last_use > self.keep_alive

    @property
    def resident_bytes(self) -> int:
        """Of its process, now; of an adapter in its base's process, of its weights."""
        if self.handle is None:
            return 0
        return self.estimated if self.base else device.resident_bytes(self.handle.pid)

    @property
    def last_use_time(self) -> datetime:
        """Of the wall clock."""
        return datetime.now(UTC) - timedelta(seconds=time.monotonic() - self.last_use)

    @property
    def expire_time(self) -> datetime | None:
        """When it will be unloaded if nobody uses it; None: never, or not loaded."""
        if self.handle is None or self.keep_alive is None or self.keep_alive < 0:
            return None
        return self.last_use_time + timedelta(seconds=self.keep_alive)
