"""Texts with personal data in known places, and with things that only look like it.

The values follow the public formats, not the patterns of the scrubber: some it must miss.
"""

import random
import string

TEMPLATES = [
    "Please contact {} before Friday.", "My details: {}; thanks!", "{} is what they gave me",
    "I wrote ({}) twice. No answer.", "联系方式：{}，谢谢。", "请用{}联系我", "Kontakt: {}\nGruß, Anna",
    "- {}\n- see above", "On 2024-03-15 at 12:30 I used {} for order #4711.", '"{}"', "Is it {}?",
    "v2.1.0 of the app sent {} to the server.",
]  # fmt: skip
NAMES = [
    "anna",
    "joe.smith",
    "li_wei",
    "m.o-brien",
    "zhang.san88",
    "K.Müller"[:1] + ".muller",
    "ops",
]
HOSTS = ["example.com", "mail.example.co.uk", "qq.com", "uni-bonn.de", "a-b.io", "company.museum"]

DECOYS = [
    "2024-01-15", "15/01/2024", "12:30:45", "1.2.3", "v10.4.1.2", "$1,299.00", "123-4567", "#99812",
    "978-3-16-148410-0", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "4111 1111 1111 1112",
    "550e8400-e29b-41d4-a716-446655440000", "6222021234567891", "110101199003070010", "@anna",
    "user@localhost", "3.14159265358979", "std::vector", "16:9", "40.7128, -74.0060", "94105-1234",
    "4711-0815-99", "password: forgotten", "2019-2024", "1.800.000", "1Z999AA10123456784",
    "1699999999", "1699999999999", "DE89 3704 0044 0532 0130 01", "GB00WEST12345698765432",
    "000-12-3456", "900-12-3456", "http://example.com:8080/x@y", "300.1.1.1", "1.2.3.4.5", "10-K",
    "a::b", "ff:fe", "ISO 13616-1:2020", "+5 degrees", "token: none", "0.5-1.5", "(2020) 12-15",
    "100 000 000", "section 1.3.4.2a", "E = mc2", "key = value", "000000000000", "1/2/3", "007",
]  # fmt: skip


def luhn_digit(digits):
    total = sum(
        sum(divmod(2 * int(digit), 10)) if at % 2 == 0 else int(digit)
        for at, digit in enumerate(reversed(digits))
    )
    return str(-total % 10)


def digits(rng, count):
    return "".join(rng.choices(string.digits, k=count))


def email(rng):
    plus = rng.choice(["", "", "+news"])
    text = f"{rng.choice(NAMES)}{rng.choice(['', digits(rng, 2)])}{plus}@{rng.choice(HOSTS)}"
    return rng.choice([text, text.upper()])


def phone(rng):
    a, b, c = rng.randint(201, 989), rng.randint(200, 999), digits(rng, 4)
    mobile = f"1{rng.choice('3456789')}{digits(rng, 9)}"
    return rng.choice([
        f"+1 {a}-{b}-{c}", f"({a}) {b}-{c}", f"{a}.{b}.{c}", f"{a}-{b}-{c}", f"+1 ({a}) {b} {c}",
        f"1-{a}-{b}-{c}", mobile, f"{mobile[:3]} {mobile[3:7]} {mobile[7:]}", f"+86 {mobile}",
        f"{mobile[:3]}-{mobile[3:7]}-{mobile[7:]}", f"010-{digits(rng, 8)}", f"0755-{digits(rng, 8)}",
        f"+44 20 {digits(rng, 4)} {digits(rng, 4)}", f"020 7{digits(rng, 3)} {digits(rng, 4)}",
        f"07{digits(rng, 3)} {digits(rng, 6)}", f"+49 30 {digits(rng, 6)}", f"030/{digits(rng, 6)}",
        f"0221 {digits(rng, 7)}", f"+33 1 42 {digits(rng, 2)} 53 00", f"01 42 {digits(rng, 2)} 53 00",
        f"+81-3-{digits(rng, 4)}-{digits(rng, 4)}", f"{a}{b}{c}", f"+4930{digits(rng, 7)}",
        f"+41 (0)44 {digits(rng, 3)} 12 12",
    ])  # fmt: skip


def credit_card(rng):
    prefix, length = rng.choice([
        ("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("37", 15), ("34", 15), ("6011", 16),
        ("622202", 16), ("622848", 19), ("3530", 16), ("36", 14), ("4", 13),
    ])  # fmt: skip
    body = prefix + digits(rng, length - len(prefix) - 1)
    number = body + luhn_digit(body)
    separator = rng.choice(["", " ", "-"])
    sizes = [4, 6, 5] if length == 15 else [4, 6, 4] if length == 14 else [4, 4, 4, 4, 4]
    if not separator or length == 13:
        return number
    parts, at = [], 0
    for size in sizes:
        parts.append(number[at : at + size])
        at += size
    return separator.join(filter(None, parts))


def iban(rng):
    country, form = rng.choice([
        ("DE", "n" * 18), ("GB", "aaaa" + "n" * 14), ("FR", "n" * 10 + "c" * 11 + "nn"),
        ("NL", "aaaa" + "n" * 10), ("ES", "n" * 20), ("CH", "n" * 5 + "c" * 12), ("PL", "n" * 24),
    ])  # fmt: skip
    pick = {
        "n": string.digits,
        "a": string.ascii_uppercase,
        "c": string.digits + string.ascii_uppercase,
    }
    body = "".join(rng.choice(pick[each]) for each in form)
    check = 98 - int("".join(str(int(c, 36)) for c in body + country + "00")) % 97
    text = f"{country}{check:02}{body}"
    spaced = " ".join(text[at : at + 4] for at in range(0, len(text), 4))
    return rng.choice([text, spaced])


def ip_address(rng):
    v4 = ".".join(str(rng.randint(1, 254)) for _ in range(4))
    groups = [f"{rng.randint(1, 65535):x}" for _ in range(8)]
    return rng.choice([
        v4, v4, ":".join(groups), f"2001:db8::{groups[0]}:{groups[1]}", f"fe80::{groups[0]}",
        f"2001:db8:{groups[0]}::1", "::1",
    ])  # fmt: skip


def ssn(rng):
    return f"{rng.choice([*range(1, 666), *range(667, 900)]):03}-{rng.randint(1, 99):02}-{rng.randint(1, 9999):04}"


def chinese_id(rng):
    birth = f"{rng.randint(1950, 2012)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
    body = rng.choice(["110101", "310104", "440305", "510107"]) + birth + digits(rng, 3)
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    total = sum(int(digit) * weight for digit, weight in zip(body, weights, strict=True))
    return body + "10X98765432"[total % 11]


def secret(rng):
    letters = string.ascii_letters + string.digits

    def some(count):
        return "".join(rng.choices(letters, k=count - 2)) + "a1"

    return rng.choice([
        f"sk-{some(48)}", f"ghp_{some(36)}", f"AKIA{''.join(rng.choices(string.ascii_uppercase, k=16))}",
        f"hf_{some(34)}", f"xoxb-{digits(rng, 11)}-{some(24)}", f"AIza{some(35)}", f"glpat-{some(20)}",
        f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx{some(20)}.{some(43)}",
    ])  # fmt: skip


KINDS = {
    function.__name__: function
    for function in (email, phone, credit_card, iban, ip_address, ssn, chinese_id, secret)
}


def labelled(count, seed=20):
    """(text, kind, value) with one piece of personal data each; kind None: a decoy."""
    rng = random.Random(seed)
    rows = []
    for at in range(count):
        template = rng.choice(TEMPLATES)
        if at % 3 == 2:
            kind, value = None, rng.choice(DECOYS)
        else:
            kind = rng.choice(list(KINDS))
            value = KINDS[kind](rng)
        rows.append((template.format(value), kind, value))
    return rows
