"""What a request can ask for, as the SDK takes it."""

import functools
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Required, TypedDict

from llmos_client.generations import ToolCall


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `role` is system, user, assistant or tool."""

    role: str
    content: str = ""
    tool_calls: Sequence[ToolCall | Mapping[str, str]] = ()
    tool_call_id: str = ""


def check_names(given: Iterable[str], known: type) -> None:
    """Raise TypeError where an option has no such name in the TypedDict `known`, and name it."""
    names = _names(known)
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f"; is it {near[0]}?" if near else ""
            raise TypeError(f'there is no option "{name}"{hint}')


@functools.cache
def _names(known: type) -> frozenset[str]:
    return frozenset(typing.get_type_hints(known))


# A turn as the SDK takes it: a Message, or {"role": ..., "content": ...}.
MessageLike = Message | Mapping[str, Any]


class SamplingOptions(TypedDict, total=False):
    """How tokens are drawn, when an answer ends and what comes back; unset: the model's default."""

    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    seed: int | None
    n: int | None
    beams: int | None
    length_penalty: float | None
    logit_bias: Mapping[int, float]
    max_tokens: int | None
    min_tokens: int | None
    stop: Sequence[str]
    stop_token_ids: Sequence[int]
    ignore_eos: bool | None
    logprobs: int | None
    return_tokens: bool | None


class GenerateOptions(SamplingOptions, total=False):
    """The input, one of messages and tokens where no prompt is given, and how to answer it.

    `tool_choice` is "auto", "none", "required" or a tool's name. One of json_schema, regex, grammar
    and choices gives the answer its form; see llmos.v1.Constraint. `priority` is "low", "normal" or
    "high".
    """

    messages: Sequence[MessageLike]
    tools: Sequence[Mapping[str, Any]]
    tool_choice: str
    parallel_tool_calls: bool
    tokens: Sequence[int]
    parse_special: bool
    json_schema: Mapping[str, Any] | str | None
    regex: str | None
    grammar: str | None
    choices: Sequence[str]
    priority: str | None


class TrainOptions(TypedDict, total=False):
    """What a training job may be asked beside its model and its dataset.

    `objective` as "sft", `method` "full" or "lora"; `family` for a network from scratch,
    `init_from` for a version to start from. `settings` has the names that
    training_requests.setting_names lists.
    """

    objective: str | None
    method: str | None
    family: str
    init_from: str
    validation_dataset: str
    tokenizer_from: str
    teacher: str
    samples: Sequence[str]
    license: str
    settings: Mapping[str, Any] | None
    request_id: str


class EvaluationPart(TypedDict, total=False):
    """Data that a model is judged on; `dataset` is a dataset's name, or "suites/ID".

    `task` as "score" or "answer", by default what the data suggests; `metrics` as ("bleu", "f1").
    `noise` is the probability of a typing error, of each character a user typed. `characters`
    compares Chinese by characters; `window` are the tokens of a piece of text that is scored;
    `question`, with {text} in it, asks a language model for labels. `sampling` are options of an
    answer: temperature, max_tokens, ...
    """

    dataset: Required[str]
    name: str
    split: str | None
    task: str | None
    metrics: Sequence[str]
    noise: float
    noise_seed: int
    characters: bool
    no_stemming: bool
    max_order: int | None
    window: int | None
    system: str
    question: str
    sampling: SamplingOptions


class EvaluateOptions(TypedDict, total=False):
    """How an evaluation is run: `max_examples` of each part, drawn by `seed`; None: all."""

    max_examples: int | None
    seed: int | None
    resamples: int | None
    confidence: float | None
    concurrency: int | None
    priority: str | None
    request_id: str


class OptimizeOptions(TypedDict, total=False):
    """How a version is optimized, whatever the method.

    `output` is the model that gets the version, by default the same. `calibration` is a dataset
    whose texts say what weights are multiplied with.
    """

    output: str
    calibration: str
    calibration_rows: int | None
    evaluate_on: Sequence[EvaluationPart | str]
    max_examples: int | None
    max_metric_regression: float | None
    request_id: str


class FeedbackOptions(TypedDict, total=False):
    """What is said about an answer beside its kind; see Client.create_feedback."""

    choice: int
    edit: str
    other: str
    other_choice: int
    comment: str
    consent: bool
    subject: str


class LearnOptions(TypedDict, total=False):
    """How a model learns from feedback.

    `objective` is "kto", "sft" or "dpo", `settings` as in train_model. Rows of `replay` are
    mixed in; what gets worse on `evaluate_on` by more than `max_metric_regression` is not promoted.
    """

    objective: str | None
    method: str | None
    settings: Mapping[str, Any] | None
    replay: str
    replay_share: float | None
    max_tenant_share: float | None
    evaluate_on: Sequence[EvaluationPart | str]
    max_metric_regression: float | None
    promote: bool
    min_rows: int | None
    request_id: str
