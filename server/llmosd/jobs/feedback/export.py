"""Verdicts as rows of a dataset: what was good and bad, better and worse, and what it should be."""

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from llmosd.errors import InvalidField
from llmosd.jobs.feedback.specs import FeedbackRows, FeedbackSpec, RowsKind, Verdict
from llmosd.progress import Progress
from llmosd.store.datasets import DatasetReader

Row = dict[str, Any]


class _Made(NamedTuple):
    verdict: Verdict
    rows: list[Row]


def export(spec: FeedbackSpec, progress: Progress) -> FeedbackRows:
    """Write the rows, feedback and replay mixed, in an order that `seed` decides.

    Raises:
        InvalidField: the replay's rows are of another kind, or the kind takes none.
    """
    decoder = msgspec.json.Decoder(Verdict)
    verdicts = [decoder.decode(line) for line in Path(spec.verdicts).read_bytes().splitlines()]
    progress.report("export", 0, len(verdicts), "verdicts")
    made = [_Made(verdict, list(rows_of(verdict, spec.kind))) for verdict in verdicts]
    kept = fair_share([each for each in made if each.rows], spec.max_tenant_share)
    rows = [row for each in kept for row in each.rows]
    replay = _replayed(spec, len(rows)) if spec.replay and rows else []
    every = rows + replay
    random.Random(spec.seed).shuffle(every)  # noqa: S311 - nothing is secret
    with Path(spec.output).open("wb") as file:
        file.writelines(msgspec.json.encode(row) + b"\n" for row in every)
    whole = sum(len(each.rows) for each in made)
    return FeedbackRows(
        rows=len(rows),
        replayed=len(replay),
        skipped=sum(not each.rows for each in made),
        dropped=whole - len(rows),
        used=[each.verdict.id for each in kept],
    )


def rows_of(verdict: Verdict, kind: RowsKind) -> Iterator[Row]:
    """What a verdict says, as rows of a kind; nothing where it says nothing of that kind."""
    prompt = single_turn(verdict.prompt)
    if not prompt:
        return
    good, bad = _good(verdict), _bad(verdict)
    if kind == "preference":
        if good and bad and good != bad:
            yield {"prompt": prompt, "chosen": good, "rejected": bad}
        return
    if good:
        row = {"prompt": prompt, "completion": good}
        yield row if kind == "pairs" else {**row, "desirable": True}
    if bad and kind == "rated":
        yield {"prompt": prompt, "completion": bad, "desirable": False}


def single_turn(prompt: str) -> str:
    """The question of a prompt of one turn; "" for any other, which rows cannot hold."""
    if not prompt:
        return ""
    found: Any = msgspec.json.decode(prompt)
    if isinstance(found, str):
        return found if found.strip() else ""
    if len(found) != 1 or found[0]["role"] != "user":
        return ""
    return str(found[0]["content"]).strip()


def fair_share(made: list[_Made], share: float) -> list[_Made]:
    """Verdicts such that no tenant has more than `share` of the rows, where there are several.

    All tenants are held to the same number of rows, the largest for which that is so; an even split
    is the least that can be asked. Which verdicts stay depends on their ids alone.
    """
    by_tenant: dict[str, list[_Made]] = defaultdict(list)
    for each in made:
        by_tenant[each.verdict.tenant].append(each)
    counts = [sum(len(each.rows) for each in own) for own in by_tenant.values()]
    most = row_limit(counts, share)
    kept: set[str] = set()
    for own in by_tenant.values():
        taken = 0
        for each in sorted(own, key=_drawn):
            if taken + len(each.rows) > most and taken:
                break
            taken += len(each.rows)
            kept.add(each.verdict.id)
    return [each for each in made if each.verdict.id in kept]


def row_limit(counts: list[int], share: float) -> int:
    """The largest number of rows c for which min(n, c) <= share x sum of all min(n, c)."""
    if len(counts) < 2 or share >= 1:
        return max(counts, default=0)
    share = max(share, 1 / len(counts))

    def holds(limit: int) -> bool:
        return min(max(counts), limit) <= share * sum(min(each, limit) for each in counts) + 1e-9

    low, high = 1, max(counts)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _drawn(made: _Made) -> bytes:
    return hashlib.blake2b(made.verdict.id.encode(), digest_size=8).digest()


def _good(verdict: Verdict) -> str:
    match verdict.kind:
        case "EDIT":
            return verdict.edit.strip()
        case "UP" | "BETTER":
            return verdict.answer.strip()
        case "WORSE":
            return verdict.other_answer.strip()
    return ""


def _bad(verdict: Verdict) -> str:
    match verdict.kind:
        case "EDIT" | "DOWN" | "WORSE":
            return verdict.answer.strip()
        case "BETTER":
            return verdict.other_answer.strip()
    return ""


def _replayed(spec: FeedbackSpec, rows: int) -> list[Row]:
    """Rows of the replay dataset, `replay_share` of all."""
    if spec.kind == "preference":
        raise InvalidField.of("replay_dataset", "preferences have no rows to be mixed with")
    with DatasetReader(Path(spec.replay)) as reader:
        if reader.kind not in ("pairs", "chat"):
            raise InvalidField.of("replay_dataset", f"has rows of kind {reader.kind}, not pairs")
        found = [pair for _, row in reader.rows("train") for pair in _pairs(row)]
    count = min(len(found), round(rows * spec.replay_share / (1 - spec.replay_share)))
    drawn = random.Random(spec.seed).sample(found, count)  # noqa: S311 - nothing is secret
    return drawn if spec.kind == "pairs" else [{**row, "desirable": True} for row in drawn]


def _pairs(row: Row) -> Iterator[Row]:
    if "messages" not in row:
        yield {"prompt": row["prompt"], "completion": row["completion"]}
        return
    messages = [each for each in row["messages"] if each["role"] != "system"]
    if [each["role"] for each in messages[:2]] == ["user", "assistant"]:
        yield {"prompt": messages[0]["content"], "completion": messages[1]["content"]}
