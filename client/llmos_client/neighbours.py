"""The rows of a dataset that mean something like a text: by the cosine between their vectors.

Every row is embedded when it is asked; what is kept is one batch of rows, and the best so far.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import mul
from typing import Any

from llmos_client.client import Client
from llmos_client.datasets import Example, Split
from llmos_client.errors import ContextLengthExceededError
from llmos_client.scores import Neighbour

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Nearest:
    """The most similar rows, the best one first, and how many were looked at, and left out.

    Left out are rows that are longer than the model's context, and rows without text.
    """

    neighbours: tuple[Neighbour, ...]
    rows: int
    left_out: int


def nearest(
    client: Client,
    model: str,
    dataset: str,
    query: str,
    *,
    count: int = 10,
    pooling: str | None = None,
    split: Split | None = None,
) -> Nearest:
    """Find the `count` rows whose text is most similar to the query.

    A row's text is its field "text", else "prompt", else what its messages say.
    """
    (target,) = _vectors(client, model, [query], pooling)
    best: list[tuple[float, int, str]] = []
    rows = left_out = 0
    for batch in _batches(client.iter_examples(dataset, split=split)):
        rows += len(batch)
        pairs = [(each.row, text) for each in batch if (text := text_of(each.content))]
        left_out += len(batch) - len(pairs)
        for row, text, vector in _embedded(client, model, pairs, pooling):
            if vector is None:
                left_out += 1
                continue
            # Of equals the first row stays: its number, negated, is the largest.
            entry = (sum(map(mul, target, vector)), -row, text)
            push = heapq.heappush if len(best) < count else heapq.heappushpop
            push(best, entry)
    found = [Neighbour(-row, text, cosine) for cosine, row, text in sorted(best, reverse=True)]
    return Nearest(tuple(found), rows, left_out)


def text_of(content: Mapping[str, Any]) -> str:
    """What a row of any kind is about; "" where it has no such thing."""
    for field in ("text", "prompt"):
        if isinstance(content.get(field), str):
            return str(content[field])
    messages = content.get("messages") or content.get("prompt") or ()
    said = [each.get("content") for each in messages if isinstance(each, Mapping)]
    return "\n".join(text for text in said if isinstance(text, str))


def _batches(examples: Iterator[Example]) -> Iterator[list[Example]]:
    while batch := list(islice(examples, _BATCH)):
        yield batch


def _embedded(
    client: Client, model: str, pairs: list[tuple[int, str]], pooling: str | None
) -> Iterable[tuple[int, str, tuple[float, ...] | None]]:
    """Rows with their vectors; None where a text does not fit the model's context."""
    try:
        vectors = _vectors(client, model, [text for _, text in pairs], pooling) if pairs else []
    except ContextLengthExceededError:
        if len(pairs) == 1:
            return [(*pairs[0], None)]
        singles = (_embedded(client, model, [pair], pooling) for pair in pairs)
        return [one for single in singles for one in single]
    return [(*pair, vector) for pair, vector in zip(pairs, vectors, strict=True)]


def _vectors(
    client: Client, model: str, texts: list[str], pooling: str | None
) -> list[tuple[float, ...]]:
    found = client.embed(model, texts, pooling=pooling, normalize=True)
    return [each.values for each in found.vectors]
