"""Tokens: who may call over which role and for whom; never the secrets themselves.

A secret is `llmos_ID_KEY`: ID finds the row, KEY has 256 random bits, and the row has the SHA-256
of a salt and KEY. Where there is no such row the same is computed against a row that nothing
matches, so that neither the answer nor the time it takes tells more than "no".
"""

import hashlib
import hmac
import re
import secrets
import sqlite3
from datetime import datetime, timedelta

import msgspec

from llmosd.errors import InvalidField, TokenNotFound
from llmosd.store.records import from_micros, now, to_micros

_SECRET = re.compile(r"llmos_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NOBODY = (b"\0" * 16, b"\0" * 32)
# Not with each call: a commit is an fsync.
_USE_INTERVAL = timedelta(minutes=1)
_COLUMNS = "token_id, name, role, tenant, create_time, expire_time, revoke_time, last_use_time"


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `tokens`, without what the secret is checked by."""

    token_id: str
    name: str
    role: str
    tenant: str
    create_time: datetime
    expire_time: datetime | None
    revoke_time: datetime | None
    last_use_time: datetime | None

    @property
    def expired(self) -> bool:
        """Its time is over."""
        return self.expire_time is not None and self.expire_time <= now()


class TokenTable:
    """Rows of `tokens`; made by `Catalog`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def create(
        self, name: str, role: str, tenant: str, lifetime: float | None
    ) -> tuple[TokenRecord, str]:
        """Make a token; returns it with its secret, which is nowhere else.

        Raises:
            InvalidField: when a token that is not revoked has the name.
        """
        token_id, key = secrets.token_hex(8), secrets.token_urlsafe(32)
        salt = secrets.token_bytes(16)
        made = now()
        ends = None if lifetime is None else to_micros(made + timedelta(seconds=lifetime))
        try:
            self._db.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
                (token_id, name, role, tenant, salt, _digest(salt, key), to_micros(made), ends),
            )
        except sqlite3.IntegrityError:
            raise InvalidField.of(
                "name", f"there is a token {name!r}; revoke it first, or choose another name"
            ) from None
        return self._get(token_id), f"llmos_{token_id}_{key}"

    def list(self) -> list[TokenRecord]:
        """All that were ever made, oldest first."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM tokens ORDER BY create_time, rowid")  # noqa: S608
        return [_record(row) for row in rows]

    def revoke(self, name: str) -> TokenRecord:
        """Let nobody in by it any more, from now on.

        Raises:
            TokenNotFound: when no token has, or had, the name.
        """
        row = self._db.execute(
            "SELECT token_id FROM tokens WHERE name = ? "
            "ORDER BY revoke_time IS NOT NULL, revoke_time DESC LIMIT 1",
            (name,),
        ).fetchone()
        if row is None:
            raise TokenNotFound(f"there is no token {name!r}; see llmos token list")
        self._db.execute(
            "UPDATE tokens SET revoke_time = ? WHERE token_id = ? AND revoke_time IS NULL",
            (to_micros(now()), row["token_id"]),
        )
        return self._get(row["token_id"])

    def verify(self, secret: str) -> TokenRecord | None:
        """The token of a secret, whatever has become of it; None where there is none."""
        match = _SECRET.fullmatch(secret)
        token_id, key = match.groups() if match else ("", "")
        row = self._db.execute(
            "SELECT salt, digest FROM tokens WHERE token_id = ?", (token_id,)
        ).fetchone()
        salt, digest = row or _NOBODY
        if not hmac.compare_digest(_digest(salt, key), digest):
            return None
        return self._get(token_id)

    def used(self, record: TokenRecord) -> None:
        """Note that a call came with it, to the minute."""
        moment = now()
        if record.last_use_time is None or moment - record.last_use_time >= _USE_INTERVAL:
            self._db.execute(
                "UPDATE tokens SET last_use_time = ? WHERE token_id = ?",
                (to_micros(moment), record.token_id),
            )

    def _get(self, token_id: str) -> TokenRecord:
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM tokens WHERE token_id = ?",  # noqa: S608 - our own names
            (token_id,),
        ).fetchone()
        return _record(row)


def _digest(salt: bytes, key: str) -> bytes:
    return hashlib.sha256(salt + key.encode()).digest()


def _record(row: sqlite3.Row) -> TokenRecord:
    def moment(name: str) -> datetime | None:
        return None if row[name] is None else from_micros(row[name])

    return TokenRecord(
        token_id=row["token_id"],
        name=row["name"],
        role=row["role"],
        tenant=row["tenant"],
        create_time=from_micros(row["create_time"]),
        expire_time=moment("expire_time"),
        revoke_time=moment("revoke_time"),
        last_use_time=moment("last_use_time"),
    )
