"""From protos to generations and their events. The stream's path is run once per token."""

from collections.abc import Callable
from typing import Any

from llmos.v1 import chat_pb2, generation_service_pb2, sampling_pb2
from llmos_client import generations
from llmos_client.generations import ConverseEvent, StreamEvent
from llmos_client.parsing_base import enum
from llmos_client.rpc_errors import from_status


def generation(proto: generation_service_pb2.GenerateResponse) -> generations.Generation:
    """Parse a GenerateResponse."""
    return generations.Generation(
        name=proto.generation,
        model_version=proto.model_version,
        parameters=_parameters(proto.parameters),
        choices=tuple(_choice(choice) for choice in proto.choices),
        usage=_usage(proto.usage),
        timings=_timings(proto.timings),
    )


def stream_event(proto: generation_service_pb2.GenerateEvent) -> StreamEvent | None:
    """Parse an event of StreamGenerate, where an error ends the call."""
    event = converse_event(proto)
    if isinstance(event, generations.Failed | generations.Rejected):
        raise event.error
    return event


def converse_event(proto: generation_service_pb2.GenerateEvent) -> ConverseEvent | None:
    """Parse an event of Converse; None for a kind that a newer daemon invented."""
    kind = proto.WhichOneof("event")
    if kind == "delta":
        return _delta(proto)
    parse = _RARE_EVENTS.get(kind or "")
    return parse(proto) if parse else None


def _delta(proto: generation_service_pb2.GenerateEvent) -> generations.Delta:
    delta = proto.delta
    return generations.Delta(
        proto.generation_id,
        proto.sequence,
        delta.choice,
        delta.text,
        tokens(delta.tokens) if delta.tokens else (),
        _tool_calls(delta.tool_calls) if delta.tool_calls else (),
    )


def _started(proto: generation_service_pb2.GenerateEvent) -> generations.Started:
    started = proto.started
    return generations.Started(
        generation_id=proto.generation_id,
        sequence=proto.sequence,
        generation=started.generation,
        model_version=started.model_version,
        parameters=_parameters(started.parameters),
        prompt_tokens=started.prompt_tokens,
        turn=started.turn,
    )


def _finished(proto: generation_service_pb2.GenerateEvent) -> generations.Finished:
    ended = proto.finished
    reason = _finish_reason(ended.finish_reason)
    return generations.Finished(
        proto.generation_id, proto.sequence, ended.choice, reason, ended.stop
    )


def _completed(proto: generation_service_pb2.GenerateEvent) -> generations.Completed:
    done = proto.completed
    return generations.Completed(
        proto.generation_id, proto.sequence, _usage(done.usage), _timings(done.timings)
    )


def _failed(proto: generation_service_pb2.GenerateEvent) -> generations.Failed:
    return generations.Failed(proto.generation_id, proto.sequence, from_status(proto.failed))


def _rejected(proto: generation_service_pb2.GenerateEvent) -> generations.Rejected:
    return generations.Rejected(proto.generation_id, proto.sequence, from_status(proto.rejected))


_RARE_EVENTS: dict[str, Callable[[generation_service_pb2.GenerateEvent], ConverseEvent]] = {
    "started": _started,
    "finished": _finished,
    "completed": _completed,
    "failed": _failed,
    "rejected": _rejected,
}


def _choice(proto: generation_service_pb2.Choice) -> generations.Choice:
    return generations.Choice(
        index=proto.index,
        text=proto.text,
        finish_reason=_finish_reason(proto.finish_reason),
        stop=proto.stop,
        tokens=tokens(proto.tokens),
        tool_calls=_tool_calls(proto.tool_calls),
    )


def _finish_reason(value: int) -> generations.FinishReason:
    known = generation_service_pb2.FinishReason
    return enum(generations.FinishReason, known, "FINISH_REASON_", value)


def _parameters(
    proto: generation_service_pb2.EffectiveParameters,
) -> generations.EffectiveParameters:
    stopping, output = proto.stopping, proto.output
    return generations.EffectiveParameters(
        **_sampling(proto.sampling),
        max_tokens=_optional(stopping, "max_tokens"),
        min_tokens=_optional(stopping, "min_tokens"),
        stop=tuple(stopping.stop),
        stop_token_ids=tuple(stopping.stop_token_ids),
        ignore_eos=_optional(stopping, "ignore_eos"),
        logprobs=_optional(output, "logprobs"),
        return_tokens=_optional(output, "tokens"),
    )


def _sampling(proto: sampling_pb2.SamplingParameters) -> dict[str, Any]:
    values = {field.name: _short(value) for field, value in proto.ListFields()}
    values["logit_bias"] = dict(proto.logit_bias)
    known = generations.EffectiveParameters.__dataclass_fields__
    return {name: value for name, value in values.items() if name in known}


def _short(value: Any) -> Any:
    # 0.7 went through 32 bits: give the shortest number that does so, not 0.699999988079071.
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _optional(proto: Any, field: str) -> Any:
    return getattr(proto, field) if proto.HasField(field) else None


def tokens(protos: Any) -> tuple[generations.TokenOutput, ...]:
    """Parse TokenOutputs."""
    return tuple(
        generations.TokenOutput(
            token.id,
            token.bytes,
            token.logprob if token.HasField("logprob") else None,
            tuple(generations.TokenAlternative(t.id, t.bytes, t.logprob) for t in token.top),
            token.rank or None,
        )
        for token in protos
    )


def _tool_calls(protos: Any) -> tuple[generations.ToolCall, ...]:
    calls: list[chat_pb2.ToolCall] = list(protos)
    return tuple(generations.ToolCall(c.id, c.name, c.arguments_json) for c in calls)


def _usage(proto: generation_service_pb2.Usage) -> generations.Usage:
    return generations.Usage(
        proto.prompt_tokens, proto.cached_prompt_tokens, proto.completion_tokens
    )


def _timings(proto: generation_service_pb2.Timings) -> generations.Timings:
    return generations.Timings(
        queue=proto.queue.ToTimedelta().total_seconds(),
        prefill=proto.prefill.ToTimedelta().total_seconds(),
        decode=proto.decode.ToTimedelta().total_seconds(),
        time_to_first_token=proto.time_to_first_token.ToTimedelta().total_seconds(),
    )
