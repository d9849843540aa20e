"""What the front and the processes of an evaluation say to each other. Imports nothing heavy.

An evaluation is a job inside the front that asks models as any caller does. What may take long, or
reads what strangers wrote, happens in processes before and after it:

    prepare   which rows are asked:             rows-N.jsonl, lines of Example
    (asking)  the front writes:                 outputs.jsonl, lines of Output
    measure   what the answers are worth:       examples-N.jsonl, lines of Judged, and report.json
    compare   two evaluations, by their report.json and examples-N.jsonl
"""

from typing import Any, Literal

import msgspec

Task = Literal["score", "answer", "classify", "regress", "choose", "prefer", "check"]

REPORT = "report.json"
OUTPUTS = "outputs.jsonl"
SUITES = "suites/"
"""What the names of suites begin with, as data."""


def rows_file(part: int) -> str:
    """Where a part's examples are."""
    return f"rows-{part}.jsonl"


def references_file(part: int) -> str:
    """Where the texts are that all answers of a part are compared with, if they are: a list."""
    return f"references-{part}.json"


def examples_file(part: int) -> str:
    """Where a part's judged examples are."""
    return f"examples-{part}.jsonl"


class PartSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One set of examples, and how they are judged.

    Attributes:
        name: of the result.
        data: resource name of the version, or "suites/ID".
        folder: of the version; "" for a suite.
        split: "" for the test rows if there are any, else those for validation, else all; "all".
        task: None: what the data's kind suggests, a head of `head` given.
        metrics: of answers; empty: the task's own.
        units, stemming, max_order: see metrics.metric.Settings.
        noise, noise_seed: probability of a typing error, of each character a user typed.
    """

    name: str
    data: str
    folder: str = ""
    split: Literal["", "train", "validation", "test"] = ""
    task: Task | None = None
    metrics: tuple[str, ...] = ()
    units: Literal["words", "characters"] = "words"
    stemming: bool = True
    max_order: int = 5
    noise: float = 0.0
    noise_seed: int = 0


class Example(msgspec.Struct, frozen=True):
    """A row that is asked: its position in the data, and what it holds."""

    row: int
    input: dict[str, Any]


class PrepareSpec(msgspec.Struct, frozen=True, kw_only=True, tag="prepare-evaluation"):
    """Choose and write the examples of all parts.

    `head` is what the model answers with (language, classify or regress); "" where answers are
    given: `answers` is then the folder of their dataset. `most` examples of a part, 0: all, are
    drawn by `seed`.
    """

    parts: list[PartSpec]
    output: str
    head: str = ""
    answers: str = ""
    most: int = 0
    seed: int = 0


class PreparedPart(msgspec.Struct, frozen=True, kw_only=True):
    """What a part came to: its spec with the task, the rows it has, their digest and labels."""

    spec: PartSpec
    kind: str
    examples: int
    digest: str
    labels: list[str] = []


class Prepared(msgspec.Struct, frozen=True, tag="prepare-evaluation"):
    """The parts, in order."""

    parts: list[PreparedPart]


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What was said to an example, by its part and place; or why nothing was.

    `said` is, by task: score {"logprob", "tokens", "bytes", "hits"}; answer, check {"answer"};
    classify {"probabilities"}; regress {"grade"}; choose {"logprobs", "bytes"};
    prefer {"chosen", "rejected"}.
    """

    part: int
    at: int
    said: dict[str, Any] = {}
    error: str = ""


class MeasureSpec(msgspec.Struct, frozen=True, kw_only=True, tag="measure-evaluation"):
    """Judge the outputs in `work`, and write the evaluation's files to `output`."""

    parts: list[PreparedPart]
    work: str
    output: str
    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A figure, with its interval where it has one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    signature: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a part is worth."""

    part: PreparedPart
    judged: int
    failed: int
    metrics: list[Metric]


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="measure-evaluation"):
    """report.json: the results in the order of the parts."""

    results: list[Result]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A line of examples-N.jsonl."""

    row: int
    input: dict[str, Any]
    said: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    error: str = ""


class CompareSpec(msgspec.Struct, frozen=True, kw_only=True, tag="compare-evaluations"):
    """Compare the evaluations in two folders."""

    first: str
    second: str
    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """First against second, see metrics.bootstrap.Comparison; `examples` that both have."""

    result: str
    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    wins: float
    examples: int


class Differences(msgspec.Struct, frozen=True, tag="compare-evaluations"):
    """Of all figures that both have and that are comparable."""

    differences: list[Difference]
