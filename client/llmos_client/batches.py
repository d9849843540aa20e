"""A dataset's rows to a model, as a job: the request and the call."""

from typing import Unpack

from llmos.v1 import generation_service_pb2 as pb
from llmos_client import parsing_operations, requests
from llmos_client.calls import Call
from llmos_client.datasets import DatasetVersion
from llmos_client.operations import Operation
from llmos_client.options import GenerateOptions


def batch_generate(
    model: str,
    dataset: str,
    output: str,
    *,
    system: str = "",
    concurrency: int | None = None,
    request_id: str = "",
    **options: Unpack[GenerateOptions],
) -> Call[Operation[DatasetVersion]]:
    """Call BatchGenerate; `options` are those of an answer, without an input of its own."""
    like = requests.generate_request(model, "-", **options)
    request = pb.BatchGenerateRequest(
        dataset=dataset,
        output_dataset_id=output,
        model=model,
        sampling=like.sampling,
        stopping=like.stopping,
        system=system,
        priority=like.priority,
        request_id=request_id,
    )
    if like.HasField("constraint"):
        request.constraint.CopyFrom(like.constraint)
    if concurrency is not None:
        request.concurrency = concurrency
    return Call("generation", "BatchGenerate", request, parsing_operations.operation)
