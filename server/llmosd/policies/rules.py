r"""The policy `rules`: patterns and personal data, denied, redacted or logged, from a TOML file.

    [[rule]]
    name = "cards"
    personal_data = ["credit_card", "iban"]      # or: pattern = '(?i)project\s+nightjar'
    where = ["prompt", "answer"]                 # both, if it is left out
    action = "redact"                            # or "deny", "log"
    replacement = "[removed]"                    # of redact; personal data: its kind, if left out

Answers come in pieces, and what is looked for may be cut anywhere: the last `longest` characters
(256 of each rule, unless it says so) are kept back until more has come, or the answer is over.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import msgspec
import structlog

from llmosd.config_checks import ConfigError, ConfigFault
from llmosd.errors import ContentRefused
from llmosd.jobs.data.personal_data import Scrubber
from llmosd.jobs.data.specs import PersonalData
from llmosd.policies.policy import Asker

_log = structlog.get_logger()
_FILE = "content_policy_file"
# Of what was shown already, for what a pattern wants to see before its match.
_CONTEXT = 64
# More is never kept back: a match that does not end is not waited for.
_MOST_KEPT = 65_536

Where = Literal["prompt", "answer"]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is looked for, and what is done about it; see the module."""

    name: str
    pattern: str = ""
    personal_data: tuple[PersonalData, ...] = ()
    where: tuple[Where, ...] = get_args(Where)
    action: Literal["deny", "redact", "log"] = "deny"
    replacement: str = ""
    longest: int = 256


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule: list[Rule]


class _Match(NamedTuple):
    start: int
    end: int
    rule: Rule
    replacement: str


class Rules:
    """A Policy of rules, in the order of the file: where two match, the first one counts."""

    def __init__(self, rules: list[Rule]) -> None:
        """Compile; see `load` for a file's."""
        self._finders = [_Finder(rule) for rule in rules]
        self._prompt = [each for each in self._finders if "prompt" in each.rule.where]
        self._answer = [each for each in self._finders if "answer" in each.rule.where]

    def read(self, text: str, asker: Asker) -> str:
        """See Policy."""
        return _applied(text, 0, len(text), _matches(self._prompt, text, 0), "prompt", asker)

    def writer(self, asker: Asker) -> "_Writer | None":
        """See Policy."""
        return _Writer(self._answer, asker) if self._answer else None


class _Finder:
    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._pattern = re.compile(rule.pattern) if rule.pattern else None
        self._scrubber = Scrubber(rule.personal_data)

    def find(self, text: str, start: int) -> Iterator[_Match]:
        rule = self.rule
        for match in self._pattern.finditer(text, start) if self._pattern else ():
            if match.end() > match.start():
                yield _Match(match.start(), match.end(), rule, rule.replacement)
        for begin, end, kind in self._scrubber.find(text, start):
            yield _Match(begin, end, rule, rule.replacement or kind)


class _Writer:
    """Keeps back the end of what came; see Writer."""

    def __init__(self, finders: list[_Finder], asker: Asker) -> None:
        self._finders = finders
        self._asker = asker
        self._back = max(each.rule.longest for each in finders)
        self._shown = self._kept = ""

    def add(self, text: str) -> str:
        self._kept += text
        if len(self._kept) <= self._back:
            return ""
        return self._release(len(self._kept) - self._back)

    def flush(self) -> str:
        return self._release(len(self._kept))

    def _release(self, cut: int) -> str:
        """What is before `cut`, or before a match that goes beyond it."""
        whole, begin = self._shown + self._kept, len(self._shown)
        found = _matches(self._finders, whole, begin)
        if len(self._kept) > _MOST_KEPT:
            cut = len(self._kept)
        across = (match.start for match in found if match.start < begin + cut < match.end)
        cut = min(across, default=begin + cut) - begin
        done = [each for each in found if each.start < begin + cut]
        said = _applied(whole, begin, begin + cut, done, "answer", self._asker)
        self._shown = whole[: begin + cut][-_CONTEXT:]
        self._kept = self._kept[cut:]
        return said


def load(file: Path | None) -> Rules:
    """The rules of a file.

    Raises:
        ConfigError: there is none, or what is wrong in it.
    """
    if file is None:
        raise _fault("the policy rules needs a file of rules")
    try:
        rules = msgspec.convert(tomllib.loads(file.read_text()), _File).rule
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise _fault(f"{file}: {error}") from None
    for rule in rules:
        wrong = _wrong(rule)
        if wrong:
            raise _fault(f"{file}: rule {rule.name!r}: {wrong}")
    return Rules(rules)


def _wrong(rule: Rule) -> str:
    said, forbidden = rule.replacement, set('"\\')
    faults = {
        "set either pattern or personal_data": bool(rule.pattern) == bool(rule.personal_data),
        'where: name "prompt", "answer" or both': not rule.where,
        f"longest: must be 1 to {_MOST_KEPT}": not 1 <= rule.longest <= _MOST_KEPT,
        "replacement: say what stands for what was found": (
            rule.action == "redact" and bool(rule.pattern) and not said
        ),
        "replacement: no quotation marks, backslashes or control characters": (
            not said.isprintable() or bool(set(said) & forbidden)
        ),
    }
    for text, holds in faults.items():
        if holds:
            return text
    try:
        re.compile(rule.pattern)
    except re.error as error:
        return f"pattern: {error}"
    return ""


def _fault(text: str) -> ConfigError:
    return ConfigError(ConfigFault("", _FILE, text))


def _matches(finders: list[_Finder], text: str, start: int) -> list[_Match]:
    """All that do not overlap an earlier rule's, by place."""
    taken: list[_Match] = []
    for finder in finders:
        for match in finder.find(text, start):
            if all(match.end <= each.start or each.end <= match.start for each in taken):
                taken.append(match)
    return sorted(taken)


def _applied(
    text: str, begin: int, end: int, found: list[_Match], where: Where, asker: Asker
) -> str:
    """text[begin:end] after what the matches' rules ask for; raises ContentRefused."""
    parts: list[str] = []
    for match in found:
        rule = match.rule
        # What was found is not in the log: only that it was.
        _log.info(
            "content_rule", rule=rule.name, action=rule.action, where=where,
            tenant=asker.tenant, model=asker.model, length=match.end - match.start,
        )  # fmt: skip
        if rule.action == "deny":
            raise ContentRefused(
                f"the {where} is refused by the rule {rule.name!r} of this daemon",
                metadata={"rule": rule.name, "where": where},
            )
        if rule.action == "redact":
            parts += [text[begin : match.start], match.replacement]
            begin = match.end
    return "".join([*parts, text[begin:end]])
