"""Finding personal data by its form, and replacing it by its kind: [EMAIL], [PHONE] and so on.

What has a check digit is only replaced where that is right. Names and addresses have no form, and
are not found. Every pattern starts at a border and repeats a bounded number of times, so that no
text takes more than linear time.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from llmosd.jobs.data.specs import PersonalData

_IBAN_LENGTHS = {
    15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU XK",
    21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA",
    30: "JO KW MU", 31: "MT SC", 33: "LC RU",
}  # fmt: skip


class _Finder(NamedTuple):
    kind: PersonalData
    hint: Callable[[str], bool]
    pattern: re.Pattern[str]
    accept: Callable[[str], bool]


class Scrubber:
    """Replaces the kinds it was made for, and counts."""

    def __init__(self, kinds: Iterable[PersonalData]) -> None:
        wanted = set(kinds)
        self._finders = [finder for finder in _FINDERS if finder.kind in wanted]
        self.counts: Counter[str] = Counter()

    def __call__(self, text: str) -> str:
        """The text with placeholders."""
        for finder in self._finders:
            if finder.hint(text):
                text = self._replaced(finder, text)
        return text

    def find(self, text: str, start: int) -> Iterator[tuple[int, int, str]]:
        """Where each thing begins and ends, from `start` on, and its placeholder."""
        for finder in self._finders:
            if not finder.hint(text):
                continue
            for match in finder.pattern.finditer(text, start):
                begin = match.start() + len(match.groupdict().get("keep") or "")
                if finder.accept(text[begin : match.end()]):
                    yield begin, match.end(), f"[{finder.kind.upper()}]"

    def _replaced(self, finder: _Finder, text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            keep = match.groupdict().get("keep", "")
            if not finder.accept(match[0].removeprefix(keep)):
                return match[0]
            self.counts[finder.kind] += 1
            return f"{keep}[{finder.kind.upper()}]"

        return finder.pattern.sub(replace, text)


def luhn(number: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812)."""
    digits = [int(char) for char in reversed(number) if char.isdigit()]
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def iban_valid(text: str) -> bool:
    """The check digits of ISO 13616: 1 modulo 97, letters counted from 10."""
    plain = text.replace(" ", "")
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def chinese_id_valid(text: str) -> bool:
    """The check character of GB 11643."""
    weighted = sum(int(char) * 2 ** (17 - at) % 11 for at, char in enumerate(text[:17]))
    return "10X98765432"[weighted % 11] == text[17].upper()


def _card_valid(text: str) -> bool:
    number = re.sub(r"[ -]", "", text)
    return bool(_ISSUERS.fullmatch(number)) and luhn(number)


# Visa, Mastercard, American Express, Discover, UnionPay, JCB, Diners Club: prefix and length.
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12}|62\d{14,17}|35\d{14}|3(?:0[0-5]|[68]\d)\d{11}"
)


def _ipv6_valid(text: str) -> bool:
    groups = [group for group in text.split(":") if group]
    # "a::b" and "12:30" are more often something else than an address.
    if len(groups) < 3 and text != "::1" and not re.match(r"[0-9a-fA-F]{4}::", text):
        return False
    if len(groups) < 3 and not any(char.isdigit() for char in text):
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _mixed(text: str) -> bool:
    """Letters and digits: a word after "password:" is more often no password."""
    return any(char.isdigit() for char in text) and any(char.isalpha() for char in text)


def _any(_: str) -> bool:
    return True


def _has(*parts: str) -> Callable[[str], bool]:
    return lambda text: any(part in text for part in parts)


_DIGIT = re.compile(r"\d")


def _has_digit(text: str) -> bool:
    return _DIGIT.search(text) is not None


# Borders of what is written in ASCII; Chinese may stand next to it.
_BEGIN, _END = r"(?<![A-Za-z0-9-])", r"(?![A-Za-z0-9-])"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"

_URL_USER = r"(?<=://)[^\s/@:]{1,128}:[^\s/@]{1,128}(?=@)"
_KEY = (
    r"(?<![A-Za-z0-9_-])(?:sk-[A-Za-z0-9_-]{20,200}|gh[pousr]_[A-Za-z0-9]{36,255}"
    r"|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_-]{20,64}|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|AIza[A-Za-z0-9_-]{35}|xox[abeprs]-[A-Za-z0-9-]{10,250}|hf_[A-Za-z0-9]{30,64}"
    r"|eyJ[A-Za-z0-9_-]{8,4096}\.eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,4096}"
    r")(?![A-Za-z0-9_-])"
)
_PRIVATE_KEY = (
    r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----[A-Za-z0-9+/=\s:,.-]{0,16384}?"
    r"-----END [A-Z ]{0,32}PRIVATE KEY-----"
)
_ASSIGNED = (
    r"(?P<keep>(?i:key|token|secret|passw(?:or)?d|pwd)[\"']?[ \t]{0,2}[:=][ \t]{0,2}[\"']?)"
    r"[A-Za-z0-9_!@#$%^&*+/=.~-]{8,256}(?![A-Za-z0-9_!@#$%^&*+/=~-])"
)
_EMAIL = (
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_+-])?@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}" + _END
)
_IBAN = (
    r"(?<![A-Za-z0-9])(?:"
    + "|".join(
        rf"(?:{countries.replace(' ', '|')})[0-9]{{2}}(?: ?[A-Z0-9]){{{length - 4}}}"
        for length, countries in _IBAN_LENGTHS.items()
    )
    + r")(?![A-Za-z0-9])"
)
_CHINESE_ID = (
    r"(?<![A-Za-z0-9])[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])"
    r"(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx](?![A-Za-z0-9])"
)
# Without a separator, in fours, or as 4-6-5 and 4-6-4.
_CARD = (
    _BEGIN + r"[2-6][0-9]{3}(?:[0-9]{9,15}"
    r"|([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}(?:\1[0-9]{1,3})?|([ -])[0-9]{6}\2[0-9]{4,5})" + _END
)
_SSN = _BEGIN + r"(?!000|666|9)[0-9]{3}([ -])(?!00)[0-9]{2}\1(?!0000)[0-9]{4}" + _END
_IPV6 = r"(?<![A-Za-z0-9:.])[0-9A-Fa-f:]{2,39}(?![A-Za-z0-9:]|\.[0-9])"
_IPV4 = rf"(?<![A-Za-z0-9_.-]){_OCTET}(?:\.{_OCTET}){{3}}(?![A-Za-z0-9_-]|\.[0-9])"
_PHONE_BEGIN = r"(?<![A-Za-z0-9+.-])"
_PHONE = "|".join(
    (
        # International.
        r"(?<![A-Za-z0-9+.])\+[1-9][0-9]{0,2}(?:[ .-]?\([0-9]{0,5}\))?(?:[ .-]?[0-9]){6,13}(?!\d)",
        # North America.
        _PHONE_BEGIN + r"(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])"
        r"[2-9][0-9]{2}[ .-][0-9]{4}" + _END,
        # China, mobile.
        _PHONE_BEGIN + r"(?:86[ -])?1[3-9][0-9][ .-]?[0-9]{4}[ .-]?[0-9]{4}" + _END,
        # France, in pairs.
        _PHONE_BEGIN + r"0[1-9](?:[ .-][0-9]{2}){4}" + _END,
        # China's landlines, and Europe within a country.
        _PHONE_BEGIN + r"\(?0[1-9][0-9]{1,3}\)?[ /-][0-9]{3,4}[ -]?[0-9]{3,5}" + _END,
    )
)

# In this order: what is found first is no longer there for the next.
_FINDERS = (
    _Finder("secret", _has("://"), re.compile(_URL_USER), _any),
    _Finder("secret", _any, re.compile(_KEY), _any),
    _Finder("secret", _has("PRIVATE KEY-----"), re.compile(_PRIVATE_KEY), _any),
    _Finder("secret", _has("=", ":"), re.compile(_ASSIGNED), _mixed),
    _Finder("email", _has("@"), re.compile(_EMAIL), _any),
    _Finder("iban", _has_digit, re.compile(_IBAN), iban_valid),
    _Finder("chinese_id", _has_digit, re.compile(_CHINESE_ID), chinese_id_valid),
    _Finder("credit_card", _has_digit, re.compile(_CARD), _card_valid),
    _Finder("ssn", _has_digit, re.compile(_SSN), _any),
    _Finder("ip_address", _has(":"), re.compile(_IPV6), _ipv6_valid),
    _Finder("ip_address", _has("."), re.compile(_IPV4), _any),
    _Finder("phone", _has_digit, re.compile(_PHONE), _any),
)

PLACEHOLDER = re.compile(rf"\[(?:{'|'.join(sorted({f.kind.upper() for f in _FINDERS}))})\]")
