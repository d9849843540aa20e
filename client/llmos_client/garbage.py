"""Collecting garbage, as the SDK gives it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GarbageItem:
    """What went, or would: `kind` is "packed", "tokens", "job" or "version"."""

    kind: str
    name: str
    byte_size: int


@dataclass(frozen=True, slots=True)
class GarbageResult:
    """All of it, and what the state directory takes afterwards; `quota_bytes` 0: no quota."""

    items: tuple[GarbageItem, ...]
    used_bytes: int
    quota_bytes: int
