"""Jobs inside that have versions evaluated, before and after; see suboperations."""

from collections.abc import Iterable

from llmos.v1 import evaluation_pb2, priority_pb2
from llmos.v1 import evaluation_service_pb2 as pb
from llmosd.jobs.context import JobContext
from llmosd.operations.manager import OperationManager
from llmosd.rpc.caller import InsideCall
from llmosd.rpc.evaluation_servicer import EvaluationServicer
from llmosd.rpc.suboperations import finished


class Judge:
    """Has versions evaluated for a job; the evaluations stay when it has ended."""

    def __init__(self, evaluations: EvaluationServicer, operations: OperationManager) -> None:
        self._evaluations = evaluations
        self._operations = operations

    async def both(
        self,
        names: tuple[str, str],
        parts: Iterable[pb.EvaluationPart],
        most: int,
        tenant: str,
        context: JobContext,
    ) -> tuple[evaluation_pb2.Evaluation, evaluation_pb2.Evaluation]:
        """Evaluations of the versions before and after, on `most` examples of each part (0: all).

        Raises:
            What an evaluation may end in; OperationCancelled, JobInterrupted.
        """
        given = list(parts)
        found = []
        for which, name in zip(("before", "after"), names, strict=True):
            request = pb.EvaluateModelRequest(
                model=name,
                parts=given,
                max_examples=most,
                priority=priority_pb2.PRIORITY_LOW,
                request_id=f"{context.folder.name}-{which}",
            )
            started = await self._evaluations.EvaluateModel(request, InsideCall(tenant))
            response = await finished(self._operations, started.name, context, f"evaluate {which}")
            evaluation = evaluation_pb2.Evaluation()
            response.Unpack(evaluation)
            found.append(evaluation)
        return found[0], found[1]
