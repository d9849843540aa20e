"""Who may call: tokens, as the SDK gives them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class AccessRole(StrEnum):
    """What a caller may do; each may do what those before it may."""

    UNSPECIFIED = "unspecified"
    USE = "use"
    MANAGE = "manage"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token without its secret, which begins with llmos_ID_; `last_use_time` to the minute."""

    name: str
    id: str
    role: AccessRole
    tenant: str
    create_time: datetime | None
    expire_time: datetime | None
    revoke_time: datetime | None
    last_use_time: datetime | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token and the only copy of its secret."""

    token: AccessToken
    secret: str = field(repr=False)
