"""What an engine has to do, as a message of the API."""

from llmos.v1 import admin_service_pb2 as pb
from llmos.v1 import priority_pb2
from llmosd.rpc import convert
from llmosd.supervisor.model_handle import ModelHandle

# Classes as engines know them, and as the API does.
PRIORITIES = (
    priority_pb2.PRIORITY_LOW,
    priority_pb2.PRIORITY_NORMAL,
    priority_pb2.PRIORITY_HIGH,
)


def model_load(model_version: str, handle: ModelHandle) -> pb.ModelLoad:
    """The last figures that an engine told."""
    stats, load = handle.stats, handle.load
    result = pb.ModelLoad(
        model_version=model_version,
        running=stats.running,
        waiting=stats.waiting,
        kv_blocks_used=stats.kv_blocks_used,
        kv_blocks_total=handle.ready.kv_blocks,
        steps=stats.steps,
        preemptions=stats.preemptions,
        prompt_tokens=stats.prompt_tokens,
        cached_prompt_tokens=stats.cached_tokens,
        drafted_tokens=stats.drafted_tokens,
        accepted_tokens=stats.accepted_tokens,
        rows_per_step=load.rows_per_step,
        prompt_tokens_per_second=load.prompt_rate,
        generated_tokens_per_second=load.generated_rate,
        estimated_wait=convert.duration(load.estimated_wait),
        generated_tokens=load.generated_tokens,
        late=load.late,
    )
    for priority, running, waiting in zip(PRIORITIES, load.running, load.waiting, strict=True):
        result.classes.add(priority=priority, running=running, waiting=waiting)
    for share in load.tenants:
        result.tenants.add(
            tenant=share.name,
            weight=share.weight,
            running=share.running,
            waiting=share.waiting,
            prompt_tokens=share.prompt_tokens,
            generated_tokens=share.generated_tokens,
        )
    return result
