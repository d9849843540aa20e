"""The merges that a SentencePiece vocabulary with scores stands for."""

from collections.abc import Mapping, Sequence

from llmosd.errors import InvalidModelFile

_LONGEST = 256


def merges_by_score(ids: Mapping[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """Merges of a BPE model that tokenizes as SentencePiece does, best first.

    SentencePiece joins the neighbours whose union scores highest; a merge list joins those that
    come first. So each token is one merge for every way of cutting it into two tokens, ordered by
    its score. `scores` are by id.
    """
    if len(scores) != len(ids):
        raise InvalidModelFile("GGUF: the tokenizer has neither merges nor scores")
    ranked: list[tuple[float, int, int, str, str]] = []
    for token, index in ids.items():
        if len(token) > _LONGEST:
            continue  # cutting is quadratic in the length, and no honest token is that long
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ids and right in ids:
                ranked.append((-scores[index], ids[left], ids[right], left, right))
    ranked.sort()
    return [(left, right) for *_, left, right in ranked]
