"""What a version has to pass before an alias moves to it."""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from llmos.v1 import evaluation_pb2
from llmos.v1 import evaluation_service_pb2 as pb
from llmosd.errors import DatasetNotFound, GateRefused, ModelNotFound
from llmosd.jobs.evaluating.specs import SUITES
from llmosd.operations.manager import OperationManager
from llmosd.rpc.caller import InsideCall
from llmosd.rpc.evaluation_servicer import EvaluationServicer
from llmosd.rpc.licenses import restriction
from llmosd.rpc.regressions import regression
from llmosd.rpc.suboperations import ended
from llmosd.store.aliases import Condition
from llmosd.store.catalog import Catalog
from llmosd.store.datasets import DatasetStore
from llmosd.store.names import DatasetRef, ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore

_RESOURCE = re.compile(r"(models|datasets)/[a-z0-9][a-z0-9._-]{0,63}/versions/[1-9][0-9]{0,8}")


class Asked(NamedTuple):
    """What the promotion is bound to: the alias's policy and the request's own conditions."""

    conditions: Sequence[Condition] = ()
    allow_restricted_license: bool = False


class Gate(Protocol):
    """One check."""

    loaded: bool
    """Whether it asks the version's engine, and so comes after it was loaded."""

    async def check(
        self, record: VersionRecord, against: VersionRecord | None, asked: Asked
    ) -> None:
        """Raise GateRefused where `record` may not take the place of `against` (None: nobody's)."""


class LicenseGate:
    """A license that restricts use, of a version or of what it was made from, has to be allowed."""

    loaded = False

    def __init__(self, catalog: Catalog, store: VersionStore, datasets: DatasetStore) -> None:
        self._catalog = catalog
        self._store = store
        self._datasets = datasets

    async def check(
        self, record: VersionRecord, against: VersionRecord | None, asked: Asked
    ) -> None:
        """See Gate."""
        del against
        if asked.allow_restricted_license:
            return
        for name, text in self._licenses(record).items():
            found = restriction(text)
            if found is not None:
                made = "" if name == record.name else f", which {record.name} was made from,"
                raise GateRefused.of(
                    "license",
                    f"{name}{made} has the license {text[:64]!a}: {found}; set "
                    "allow_restricted_license where your use is allowed",
                    resource=name,
                    license=text,
                )

    def _licenses(self, record: VersionRecord) -> dict[str, str]:
        """Of a version and everything it was made from that is still here, by resource name."""
        found: dict[str, str] = {}
        todo = [record.name]
        while todo:
            name = todo.pop()
            if name in found:
                continue
            try:
                found[name], sources = (
                    self._dataset(name) if name.startswith("datasets/") else self._version(name)
                )
            except (ModelNotFound, DatasetNotFound):  # removed: what it was nobody can say
                continue
            # The versions that were averaged are named within a method's text.
            todo += [match[0] for source in sources for match in _RESOURCE.finditer(source)]
        return found

    def _version(self, name: str) -> tuple[str, list[str]]:
        record = self._catalog.resolve(ModelRef.parse(name))
        manifest = self._store.manifest(record.model_id, record.version)
        # Bases, data to train on, to calibrate by: whatever has a license has a resource name.
        return record.license, [manifest.adapter_base, *manifest.lineage.values()]

    def _dataset(self, name: str) -> tuple[str, list[str]]:
        record = self._catalog.datasets.resolve(DatasetRef.parse(name))
        lineage = self._datasets.manifest(record.dataset_id, record.version).lineage
        return record.license, list(lineage.values())


class EvaluationGate:
    """What evaluations must show: they are made now, by the engine that is to serve.

    A condition's suite is "suites/ID" or a dataset, by its name as an evaluation takes it.
    """

    loaded = True

    def __init__(self, evaluations: EvaluationServicer, operations: OperationManager) -> None:
        self._evaluations = evaluations
        self._operations = operations

    async def check(
        self, record: VersionRecord, against: VersionRecord | None, asked: Asked
    ) -> None:
        """See Gate; raises also what an evaluation may end in."""
        if not asked.conditions:
            return
        suites = list(dict.fromkeys(each.suite for each in asked.conditions))
        now = await self._values(record, suites)
        was: dict[tuple[str, str], float] = {}
        compared = [each.suite for each in asked.conditions if each.max_regression is not None]
        if compared and against is not None:
            was = await self._values(against, list(dict.fromkeys(compared)))
        for condition in asked.conditions:
            key = condition.suite, condition.metric
            if key not in now:
                known = ", ".join(metric for suite, metric in now if suite == condition.suite)
                raise _refused(condition, record, f"gives no {condition.metric}; it gives {known}")
            _check(condition, record, now[key], was.get(key))

    async def _values(
        self, record: VersionRecord, suites: list[str]
    ) -> dict[tuple[str, str], float]:
        """(suite, metric) to value."""
        request = pb.EvaluateModelRequest(
            model=record.name, parts=[_part(suite) for suite in suites]
        )
        started = await self._evaluations.EvaluateModel(request, InsideCall(""))
        made = evaluation_pb2.Evaluation()
        (await ended(self._operations, started.name)).Unpack(made)
        return {
            (suite, metric.name): metric.value
            for suite, result in zip(suites, made.results, strict=True)
            for metric in result.metrics
        }


def _part(suite: str) -> pb.EvaluationPart:
    if suite.startswith(SUITES):
        return pb.EvaluationPart(suite=suite.removeprefix(SUITES))
    return pb.EvaluationPart(dataset=suite)


def _check(condition: Condition, record: VersionRecord, now: float, was: float | None) -> None:
    """Raise GateRefused where a figure is not what the condition asks for."""
    name, least, most = condition.metric, condition.at_least, condition.at_most
    if least is not None and not now >= least:
        raise _refused(condition, record, f"has {name} {now:.6g}, and {least:.6g} is the least")
    if most is not None and not now <= most:
        raise _refused(condition, record, f"has {name} {now:.6g}, and {most:.6g} is the most")
    if condition.max_regression is not None and was is not None:
        worse = regression(name, was, now)
        if worse > condition.max_regression:
            raise _refused(
                condition,
                record,
                f"has {name} {now:.6g} where the version before has {was:.6g}: {worse:.1%} worse, "
                f"and at most {condition.max_regression:.1%} is allowed",
            )


def _refused(condition: Condition, record: VersionRecord, what: str) -> GateRefused:
    return GateRefused.of(
        "evaluation",
        f'{record.name} on "{condition.suite}" {what}',
        suite=condition.suite,
        metric=condition.metric,
    )
