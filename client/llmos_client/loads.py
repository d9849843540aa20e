"""What the daemon's models have to do, as watch_load() tells it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmos_client.operations import Operation


@dataclass(frozen=True, slots=True)
class ClassLoad:
    """One class of work: "low", "normal" or "high"."""

    priority: str
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class TenantLoad:
    """One tenant's part: tokens computed of its prompts, and drawn for it; "" names none."""

    tenant: str
    weight: float
    running: int
    waiting: int
    prompt_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """One model's engine; counters since it was loaded, rates of the last seconds.

    `estimated_wait` is in seconds: how long a request of normal priority would wait, with luck.
    """

    model_version: str
    running: int
    waiting: int
    classes: tuple[ClassLoad, ...]
    tenants: tuple[TenantLoad, ...]
    kv_blocks_used: int
    kv_blocks_total: int
    rows_per_step: float
    prompt_tokens_per_second: float
    generated_tokens_per_second: float
    estimated_wait: float
    steps: int
    preemptions: int
    prompt_tokens: int
    cached_prompt_tokens: int
    generated_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    late: int


@dataclass(frozen=True, slots=True)
class Load:
    """All models in memory, jobs that have not ended, and the machine's memory, at one moment.

    `resident_bytes` are the daemon's and all its processes'.
    """

    time: datetime | None
    models: tuple[ModelLoad, ...]
    jobs: tuple[Operation[Any], ...] = ()
    resident_bytes: int = 0
    memory_available_bytes: int = 0
    memory_total_bytes: int = 0
