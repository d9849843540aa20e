"""What a training run says while it runs, and what it is told. Imports nothing heavy."""

from collections.abc import Callable
from typing import Literal

import msgspec

from llmosd.store.manifest import Manifest


class Metric(msgspec.Struct, frozen=True, kw_only=True, tag="metric"):
    """Of one step, or the mean of several: `step` is the number of steps done, of `steps`.

    `tokens` are all so far, `metrics` further means by name.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int
    tokens_per_second: float
    metrics: dict[str, float] = {}


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, tag="evaluation"):
    """Means over the validation rows after `step` steps; "loss" is always among them."""

    step: int
    metrics: dict[str, float]
    best: bool


class CheckpointSaved(msgspec.Struct, frozen=True, kw_only=True, tag="checkpoint"):
    """A checkpoint that is safe on disk."""

    step: int
    byte_size: int


class Warned(msgspec.Struct, frozen=True, kw_only=True, tag="warning"):
    """Something people should know, that does not end the run."""

    step: int
    message: str


class Sample(msgspec.Struct, frozen=True, kw_only=True, tag="sample"):
    """An answer of the network as it is after `step` steps."""

    step: int
    prompt: str
    text: str


Event = Metric | Evaluation | CheckpointSaved | Warned | Sample
Events = Callable[[Event], None]

Order = Literal["run", "save", "pause", "stop", "cancel"]
Control = Callable[[], Order]
"""Asked between steps. "save": one checkpoint, then on; asked for once for each. "pause": one
checkpoint, then wait until it says something else. "stop": one checkpoint, then
OperationInterrupted, to be resumed. "cancel": one checkpoint, then OperationCancelled."""


class TrainResult(msgspec.Struct, frozen=True, kw_only=True, tag="train-model"):
    """The filled folder out/, as an import's result, and how the run went.

    `before` are the metrics of the model that the run started from, `metrics` the result's;
    `step` is the one whose weights are published.
    """

    digest: str
    manifest: Manifest
    byte_size: int
    step: int
    steps: int
    tokens: int
    seconds: float
    stopped_early: bool
    metrics: dict[str, float]
    before: dict[str, float]
