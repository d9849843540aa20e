"""Tokens in the catalog: what is kept, what is compared, and how."""

import ast
import hmac
import inspect
import re
import textwrap
from datetime import timedelta

import pytest

from llmosd.errors import InvalidField, TokenNotFound
from llmosd.store import tokens
from llmosd.store.catalog import Catalog


@pytest.fixture
def catalog(tmp_path):
    with Catalog(tmp_path / "catalog.db") as catalog:
        yield catalog


def test_a_secret_opens_and_is_kept_nowhere(catalog, tmp_path):
    record, secret = catalog.tokens.create("svc", "use", "team-a", None)
    assert re.fullmatch(r"llmos_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", secret)
    assert catalog.tokens.verify(secret) == record
    assert (record.role, record.tenant, record.expire_time) == ("use", "team-a", None)
    key = secret.rpartition("_")[2] if "_" not in secret[23:] else secret[23:]
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert record.token_id.encode() in kept  # the control: what is kept is found
    assert key.encode() not in kept


def test_after_a_restart(catalog, tmp_path):
    _, secret = catalog.tokens.create("svc", "admin", "t", 60.0)
    with Catalog(tmp_path / "catalog.db") as other:
        assert other.tokens.verify(secret).name == "svc"


def test_wrong_secrets(catalog):
    record, secret = catalog.tokens.create("svc", "use", "t", None)
    last = "A" if secret[-1] != "A" else "B"
    other = catalog.tokens.create("other", "use", "t", None)[1]
    wrong = [
        secret[:-1] + last,  # all but the last character
        secret[:24] + other[24:],  # one token's id, another's key
        f"llmos_{'0' * 16}_{secret[23:]}",  # nobody's id
        secret[:-1], secret + "A", secret.upper(), "", "llmos_", "x" * 5000, secret + "\n",
    ]  # fmt: skip
    assert [catalog.tokens.verify(each) for each in wrong] == [None] * len(wrong)
    assert catalog.tokens.verify(secret) == record


def test_the_comparison_is_made_in_constant_time_whatever_comes(catalog, monkeypatch):
    """By construction: each check is one compare_digest of 32 bytes with 32, and no `==`."""
    compared = []
    true = hmac.compare_digest
    monkeypatch.setattr(
        tokens.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or true(a, b)
    )
    _, secret = catalog.tokens.create("svc", "use", "t", None)
    for each in (secret, secret[:-1] + "-", f"llmos_{'0' * 16}_{secret[23:]}", "nothing"):
        compared.clear()
        catalog.tokens.verify(each)
        assert compared == [(32, 32)], each
    source = textwrap.dedent(inspect.getsource(tokens.TokenTable.verify))
    assert not [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Compare) if not isinstance(n.ops[0], ast.Is)]  # fmt: skip


def test_expiry_and_revocation(catalog, monkeypatch):
    _, short = catalog.tokens.create("short", "use", "t", 60.0)
    assert not catalog.tokens.verify(short).expired
    later = tokens.now() + timedelta(seconds=61)
    monkeypatch.setattr(tokens, "now", lambda: later)
    assert catalog.tokens.verify(short).expired
    first = catalog.tokens.revoke("short").revoke_time
    assert catalog.tokens.verify(short).revoke_time == first
    monkeypatch.setattr(tokens, "now", lambda: later + timedelta(seconds=9))
    assert catalog.tokens.revoke("short").revoke_time == first  # twice changes nothing
    with pytest.raises(TokenNotFound, match="no token 'none'"):
        catalog.tokens.revoke("none")


def test_a_name_is_given_once_until_it_is_revoked(catalog):
    catalog.tokens.create("svc", "use", "t", None)
    with pytest.raises(InvalidField, match="name: there is a token 'svc'"):
        catalog.tokens.create("svc", "admin", "t", None)
    catalog.tokens.revoke("svc")
    catalog.tokens.create("svc", "admin", "t", None)
    assert [(each.name, each.role) for each in catalog.tokens.list()] == [
        ("svc", "use"),
        ("svc", "admin"),
    ]


def test_last_use_is_noted_to_the_minute(catalog, monkeypatch):
    record, secret = catalog.tokens.create("svc", "use", "t", None)
    catalog.tokens.used(record)
    seen = catalog.tokens.verify(secret)
    assert seen.last_use_time is not None
    moment = seen.last_use_time
    for seconds, noted in ((30, moment), (61, moment + timedelta(seconds=61))):
        monkeypatch.setattr(tokens, "now", lambda s=seconds: moment + timedelta(seconds=s))
        catalog.tokens.used(seen)
        assert catalog.tokens.verify(secret).last_use_time == noted
