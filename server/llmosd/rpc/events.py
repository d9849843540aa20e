"""A generation's events, numbered: what StreamGenerate and Converse have in common."""

from collections.abc import AsyncIterator

from llmos.v1 import generation_service_pb2 as pb
from llmosd.rpc import convert
from llmosd.rpc.generator import Running


async def numbered(
    running: Running, generation_id: str, *, turn: int, first: int
) -> AsyncIterator[pb.GenerateEvent]:
    """All events of a turn, numbered from `first`."""
    sequence = first
    event = _started(running, turn)
    event.generation_id, event.sequence = generation_id, sequence
    yield event
    async for step in running.generation.events():
        sequence += 1
        event = convert.event(step)
        event.generation_id, event.sequence = generation_id, sequence
        yield event


def _started(running: Running, turn: int) -> pb.GenerateEvent:
    """The first event of a turn."""
    event = pb.GenerateEvent()
    event.started.generation = running.generation.name
    event.started.model_version = running.record.name
    event.started.parameters.CopyFrom(convert.effective(running.parameters))
    event.started.prompt_tokens = running.prompt_tokens
    event.started.turn = turn
    return event
