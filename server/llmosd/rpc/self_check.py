"""Whether a version that was loaded computes what it should, before anybody depends on it.

Three things are looked at. Every file on disk has the digest of the manifest: no byte was lost
since it was installed. A probe, a fixed prompt with a short greedy answer, gives finite numbers,
and the same ones again: nothing is undefined on the way. Where the same version was probed before
on a machine like this one, they are the ones it gave then: what lies between the files and the
answer, such as weights packed into a cache, is whole, too.
"""

import asyncio
import math
import platform

from llmosd import __version__
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import family_of
from llmosd.errors import DataCorrupt, EngineLost, GateRefused
from llmosd.rpc.caller import Caller
from llmosd.rpc.gates import Asked
from llmosd.rpc.heads import Heads
from llmosd.rpc.probe import probe
from llmosd.rpc.questions import ask, score
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore
from llmosd.supervisor.pool import ModelPool

_PROMPT, _ANSWER = 48, 8
# Bits are promised on one machine alone, and on a GPU depend on what else is in the step; weights
# that are damaged move log-probabilities by far more.
_TOLERANCE = 2e-3
_GATE = "self-check"


class SelfCheck:
    """The gate that asks the version itself."""

    loaded = True

    def __init__(self, catalog: Catalog, store: VersionStore, pool: ModelPool) -> None:
        self._catalog = catalog
        self._store = store
        self._pool = pool
        self._heads = Heads(store)

    async def check(
        self, record: VersionRecord, against: VersionRecord | None, asked: Asked
    ) -> None:
        """See Gate; raises GateRefused."""
        del against, asked
        await self._check_files(record)
        try:
            # As two tenants: the second finds nothing of the first in the cache.
            first = await self._probe(record, "self-check-1")
            second = await self._probe(record, "self-check-2")
        except EngineLost:
            raise GateRefused.of(
                _GATE, f"the process of {record.name} was lost while it answered a probe"
            ) from None
        self._judge(record, first, second)

    async def _check_files(self, record: VersionRecord) -> None:
        base = self._store.manifest(record.model_id, record.version).adapter_base
        records = [record, *([self._catalog.resolve(ModelRef.parse(base))] if base else [])]
        for each in records:
            try:
                # Minutes for the largest models; hashing lets the event loop go on.
                await asyncio.to_thread(
                    self._store.verify, each.model_id, each.version, each.digest
                )
            except DataCorrupt as error:
                raise GateRefused.of(_GATE, f"{each.name}: {error.message}") from None

    async def _probe(self, record: VersionRecord, tenant: str) -> list[float]:
        """Numbers that say how the version answers."""
        config, caller = self._heads.config(record), Caller(tenant, None)
        ids = probe_ids(config)
        if config.head != "language":
            return await ask(self._pool, record, "classify", ids, caller)
        family = family_of(record.architecture)
        numbers = await probe(self._pool, record, ids, _ANSWER, tenant)
        if not (family.latent or family.starts):
            scores = await score(self._pool, record, ids, caller)
            numbers += [each.logprob for each in scores]
        return numbers

    def _judge(self, record: VersionRecord, first: list[float], second: list[float]) -> None:
        if not all(map(math.isfinite, first)):
            raise GateRefused.of(_GATE, f"{record.name} computes numbers that are not finite")
        exact = self._pool.planner.device == "cpu"
        if not _equal(first, second, 0.0 if exact else _TOLERANCE):
            raise GateRefused.of(_GATE, f"{record.name} answers the same prompt differently twice")
        setting = self._setting(record)
        known = self._catalog.probes.get(record.digest, setting)
        if known is not None and not _equal(first, known, _TOLERANCE):
            raise GateRefused.of(
                _GATE,
                f"{record.name} does not answer as it did when it was first checked; what is kept "
                "of its weights may be damaged: unload it, remove the packed weights, try again",
            )
        self._catalog.probes.put(record.digest, setting, first)

    def _setting(self, record: VersionRecord) -> str:
        """What may change bits: the program, the machine's kind, the runner, its arithmetic."""
        resident = self._pool.resident(record)
        handle = resident.handle if resident else None
        if handle is None:
            raise EngineLost("the model's process is gone; try again", retry_after=1.0)
        ready = handle.ready
        parts = (__version__, platform.machine(), ready.device, ready.runner, ready.dtype)
        return "/".join(parts)


def probe_ids(config: ModelConfig) -> list[int]:
    """A fixed prompt from all over the vocabulary, with the token that ends prompts, if any."""
    room = max(1, min(_PROMPT, config.context_length - _ANSWER - 1))
    ids = [(1 + at * 7919) % config.vocab_size for at in range(max(room, 2))]
    if config.start_id < 0:
        return ids
    words = [each for each in ids[1:] if each != config.start_id]
    return [*words, config.start_id]


def _equal(one: list[float], two: list[float], tolerance: float) -> bool:
    return len(one) == len(two) and all(
        math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
        for a, b in zip(one, two, strict=True)
    )
