"""The customs house: messages to structs and back. Pure functions."""

import hashlib
import secrets
from datetime import datetime
from typing import Any, NamedTuple

from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message

from llmos.v1 import (
    chat_pb2,
    generation_service_pb2,
    model_service_pb2,
    priority_pb2,
    sampling_pb2,
)
from llmosd.errors import ContextLengthExceeded, InvalidField
from llmosd.ipc.messages import NORMAL, SamplingSpec
from llmosd.rpc.answer import ChoiceEnd, Delta, Outcome, Token, ToolCall
from llmosd.store.manifest import GenerationDefaults
from llmosd.store.records import VersionRecord

# Temperatures below it are greedy, as sampling.proto says.
_GREEDY = 1e-4
# What every language's timestamps can add to now.
_LONGEST_SECONDS = 3650 * 86400


def payload_digest(request: Message) -> str:
    """What makes two requests the same."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()


class Parameters(NamedTuple):
    """A request's parameters with every default filled in."""

    sampling: SamplingSpec
    num_choices: int
    max_tokens: int
    min_tokens: int
    stop: list[str]
    stop_ids: list[int]  # the request's own
    ignore_eos: bool
    num_logprobs: int  # -1: none
    tokens: bool
    priority: int = NORMAL


def parameters(
    request: generation_service_pb2.GenerateRequest,
    defaults: GenerationDefaults,
    record: VersionRecord,
    prompt_tokens: int,
) -> Parameters:
    """Fill in the model's defaults, and check what no rule of the .proto can know.

    Raises:
        InvalidField, ContextLengthExceeded.
    """
    stopping, output = request.stopping, request.output
    room = record.context_length - prompt_tokens
    max_tokens = stopping.max_tokens if stopping.HasField("max_tokens") else max(room, 1)
    check_room(prompt_tokens, max_tokens, record)
    if stopping.min_tokens > max_tokens:
        raise InvalidField.of("stopping.min_tokens", f"must not be above max_tokens, {max_tokens}")
    sampling, num_choices = _sampling(request.sampling, defaults, record.vocabulary_size)
    check_ids("stopping.stop_token_ids", stopping.stop_token_ids, record.vocabulary_size)
    return Parameters(
        sampling=sampling,
        num_choices=num_choices,
        max_tokens=max_tokens,
        min_tokens=stopping.min_tokens,
        stop=list(stopping.stop),
        stop_ids=list(stopping.stop_token_ids),
        ignore_eos=stopping.ignore_eos,
        num_logprobs=output.logprobs if output.HasField("logprobs") else -1,
        tokens=output.tokens or output.HasField("logprobs"),
        priority=priority(request.priority),
    )


def priority(value: int) -> int:
    """A Priority as engines know it."""
    return value - priority_pb2.PRIORITY_LOW if value else NORMAL


def check_room(prompt_tokens: int, max_tokens: int, record: VersionRecord) -> None:
    """Raise ContextLengthExceeded where prompt and answer do not fit the context."""
    if prompt_tokens + max_tokens > record.context_length:
        raise ContextLengthExceeded(
            f"the prompt has {prompt_tokens} tokens and max_tokens is {max_tokens}; "
            f"the model's context holds {record.context_length}",
            metadata={
                "limit": str(record.context_length),
                "actual": str(prompt_tokens + max_tokens),
            },
        )


def check_ids(field: str, ids: Any, vocabulary_size: int) -> None:
    """Raise InvalidField for the first id that is not below vocabulary_size."""
    for index, token in enumerate(ids):
        if token >= vocabulary_size:
            raise InvalidField.of(
                f"{field}[{index}]", f"{token} is not below the vocabulary's {vocabulary_size}"
            )


def _sampling(
    given: sampling_pb2.SamplingParameters, defaults: GenerationDefaults, vocabulary_size: int
) -> tuple[SamplingSpec, int]:
    for token in given.logit_bias:
        check_ids("sampling.logit_bias", [token], vocabulary_size)

    def pick(name: str, fallback: float) -> Any:
        if given.HasField(name):
            return getattr(given, name)
        default = getattr(defaults, name, None)
        return fallback if default is None else default

    if given.HasField("beams"):
        return _search(given, vocabulary_size)
    if given.HasField("length_penalty"):
        raise InvalidField.of("sampling.length_penalty", "is of beam search: set beams, too")
    temperature = pick("temperature", 1.0)
    spec = SamplingSpec(
        temperature=temperature if temperature >= _GREEDY else 0.0,
        top_k=min(pick("top_k", 0), vocabulary_size),
        top_p=pick("top_p", 1.0),
        min_p=pick("min_p", 0.0),
        repetition_penalty=pick("repetition_penalty", 1.0),
        presence_penalty=pick("presence_penalty", 0.0),
        frequency_penalty=pick("frequency_penalty", 0.0),
        seed=given.seed if given.HasField("seed") else secrets.randbits(64),
        logit_bias=dict(given.logit_bias),
    )
    return spec, given.n if given.HasField("n") else 1


_OF_DRAWING: dict[str, Any] = {
    "temperature": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


def _search(
    given: sampling_pb2.SamplingParameters, vocabulary_size: int
) -> tuple[SamplingSpec, int]:
    """Beam search, which draws nothing: the model's defaults for drawing mean nothing to it."""
    for name, neutral in _OF_DRAWING.items():
        if given.HasField(name) and getattr(given, name) != neutral:
            raise InvalidField.of(f"sampling.{name}", "beam search draws nothing: leave it out")
    if given.beams > vocabulary_size:
        raise InvalidField.of("sampling.beams", f"the model has {vocabulary_size} tokens")
    if given.n > given.beams:
        raise InvalidField.of("sampling.n", f"is above beams, {given.beams}")
    spec = SamplingSpec(
        **_OF_DRAWING,
        seed=given.seed,
        logit_bias=dict(given.logit_bias),
        beams=given.beams,
        length_penalty=given.length_penalty if given.HasField("length_penalty") else 1.0,
    )
    return spec, given.n if given.HasField("n") else 1


def effective(chosen: Parameters) -> generation_service_pb2.EffectiveParameters:
    """Parameters as the first event shows them."""
    spec, result = chosen.sampling, generation_service_pb2.EffectiveParameters()
    sampling = result.sampling
    for name in _SCALARS:
        setattr(sampling, name, getattr(spec, name))
    sampling.n = chosen.num_choices
    if spec.beams:
        sampling.beams, sampling.length_penalty = spec.beams, spec.length_penalty
    sampling.logit_bias.update(spec.logit_bias)
    result.stopping.max_tokens = chosen.max_tokens
    result.stopping.min_tokens = chosen.min_tokens
    result.stopping.stop.extend(chosen.stop)
    result.stopping.stop_token_ids.extend(chosen.stop_ids)
    result.stopping.ignore_eos = chosen.ignore_eos
    if chosen.num_logprobs >= 0:
        result.output.logprobs = chosen.num_logprobs
    result.output.tokens = chosen.tokens
    return result


_SCALARS = (
    "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty",
    "frequency_penalty", "seed",
)  # fmt: skip


def token_output(token: Token) -> generation_service_pb2.TokenOutput:
    """One token, with its log-probabilities where they were asked for."""
    result = generation_service_pb2.TokenOutput(id=token.id, bytes=token.bytes)
    if token.logprob is not None:
        result.logprob = token.logprob
        for alternative in token.top:
            result.top.add(id=alternative.id, bytes=alternative.bytes, logprob=alternative.logprob)
    return result


def tool_call(made: ToolCall) -> chat_pb2.ToolCall:
    """One call."""
    name, arguments = made.call
    return chat_pb2.ToolCall(id=made.id, name=name, arguments_json=arguments)


def event(step: Delta | ChoiceEnd | Outcome) -> generation_service_pb2.GenerateEvent:
    """A generation's step as an event, without its id and number."""
    result = generation_service_pb2.GenerateEvent()
    if isinstance(step, Delta):
        result.delta.choice = step.choice
        result.delta.text = step.text
        result.delta.tokens.extend(token_output(token) for token in step.tokens)
        result.delta.tool_calls.extend(map(tool_call, step.tool_calls))
    elif isinstance(step, ChoiceEnd):
        result.finished.choice = step.choice
        result.finished.finish_reason = step.reason
        result.finished.stop = step.stop
    else:
        result.completed.usage.CopyFrom(usage(step))
        result.completed.timings.CopyFrom(timings(step))
    return result


def usage(outcome: Outcome) -> generation_service_pb2.Usage:
    """Token counts."""
    return generation_service_pb2.Usage(
        prompt_tokens=outcome.prompt_tokens,
        cached_prompt_tokens=outcome.cached_prompt_tokens,
        completion_tokens=outcome.completion_tokens,
    )


def timings(outcome: Outcome) -> generation_service_pb2.Timings:
    """Where the time went."""
    return generation_service_pb2.Timings(
        queue=duration(outcome.queue),
        prefill=duration(outcome.prefill),
        decode=duration(outcome.decode),
        time_to_first_token=duration(outcome.queue + outcome.prefill),
    )


_DTYPES = {
    model_service_pb2.COMPUTE_DTYPE_FLOAT32: "float32",
    model_service_pb2.COMPUTE_DTYPE_BFLOAT16: "bfloat16",
    model_service_pb2.COMPUTE_DTYPE_INT8: "int8",
    model_service_pb2.COMPUTE_DTYPE_INT4: "int4",
}


def compute_dtype(request: Any) -> str | None:
    """The type of the arithmetic that a request asks for, if it does."""
    return _DTYPES.get(request.dtype) if request.HasField("dtype") else None


def given_or(request: Any, field: str, default: float) -> float:
    """A number that may be left out."""
    return float(getattr(request, field)) if request.HasField(field) else default


def seconds(field: str, value: duration_pb2.Duration) -> float:
    """A Duration as seconds; raises InvalidField where it is none, or longer than ten years."""
    wrong_sign = value.seconds * value.nanos < 0
    if abs(value.seconds) > _LONGEST_SECONDS or abs(value.nanos) >= 10**9 or wrong_sign:
        raise InvalidField.of(field, f"must be a duration of at most {_LONGEST_SECONDS} s")
    return float(value.seconds + value.nanos / 1e9)


def duration(seconds: float) -> duration_pb2.Duration:
    """Seconds as a Duration."""
    result = duration_pb2.Duration()
    result.FromNanoseconds(round(seconds * 1e9))
    return result


def timestamp(moment: datetime | None) -> timestamp_pb2.Timestamp | None:
    """A moment as a Timestamp."""
    if moment is None:
        return None
    result = timestamp_pb2.Timestamp()
    result.FromDatetime(moment)
    return result
