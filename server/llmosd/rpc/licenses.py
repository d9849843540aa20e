"""Licenses that restrict what a model may be used for.

SPDX identifiers (https://spdx.org/licenses/) and the words that stand where none fits, compared
without regard to case. What is not in the table is taken to allow use: this is a guard against
oversights, and no lawyer.
"""

import re

_NON_COMMERCIAL = "it allows no commercial use"
_RESEARCH = "it allows research alone"
_NO_DERIVATIVES = "it allows no derived works"

RESTRICTED: tuple[tuple[str, str], ...] = (
    # Creative Commons with NC, in all versions and ports: CC-BY-NC-4.0, CC-BY-NC-SA-3.0-DE, ...
    (r"\bcc-by-nc\b", _NON_COMMERCIAL),
    (r"\bcc-by-nd\b", _NO_DERIVATIVES),
    # Spelled out: "Creative Commons Attribution-NonCommercial".
    (r"\bnon-?\s?commercial\b", _NON_COMMERCIAL),
    (r"\bresearch[- ](only|use|purposes?)\b|\bfor research\b", _RESEARCH),
    (r"\bacademic(ally)?[- ](only|use|purposes?|free)\b", _RESEARCH),
    # SPDX: PolyForm-Noncommercial-1.0.0 and its kin.
    (r"\bpolyform-(noncommercial|strict|free-trial|internal-use)\b", _NON_COMMERCIAL),
    # Of models: Mistral's research and non-production licenses, Meta's first LLaMA.
    (r"\bmrl\b|\bmistral[- ]research\b|\bmnpl\b|\bllama-?1\b", _RESEARCH),
)
"""Regular expressions of licenses, and what each forbids."""


def restriction(text: str) -> str | None:
    """What a license forbids, as a clause for people; None: nothing that the table knows."""
    for pattern, meaning in RESTRICTED:
        if re.search(pattern, text, re.IGNORECASE):
            return meaning
    return None
