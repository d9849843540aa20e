"""The number that a worked answer ends in, as GSM8K's program reads it (Cobbe et al., 2021)."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from llmosd.metrics.metric import Scores, Settings, mean, require_references

# "#### 18" in the data, "A: 18" in what models were trained to say.
_MARKED = re.compile(r"(?:####|^A:)\s*\$?(-?[0-9][0-9.,]*|-?\.[0-9]+)", re.MULTILINE)


def final_number(text: str) -> Decimal | None:
    """The number behind the first "####", or "A:" at the beginning of a line; None without one."""
    found = _MARKED.search(text)
    if found is None:
        return None
    try:
        return Decimal(found[1].replace(",", "").rstrip("."))
    except InvalidOperation:
        return None


class FinalNumber:
    """Share of hypotheses that end in the number one of their references ends in, 0 to 1."""

    def __init__(self, settings: Settings) -> None:
        del settings

    def __call__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
        """Score "final_number", of every example too."""
        require_references(hypotheses, references)
        each = [
            float(_same(text, others)) for text, others in zip(hypotheses, references, strict=True)
        ]
        return Scores({"final_number": mean(each)}, {"final_number": each}, "marks:####,A:")


def _same(hypothesis: str, references: Sequence[str]) -> bool:
    said = final_number(hypothesis)
    return said is not None and any(said == final_number(each) for each in references)
