"""Who may call what: the socket that a call came by, its token or certificate, and the policy.

A plane is one listener, with a gRPC server of its own, because a server cannot tell by which of its
Unix sockets a call came. On Unix sockets the file's mode already says who may come, so a call
without a token has the plane's role; on TCP it has none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from llmosd.errors import PermissionDenied, Unauthenticated
from llmosd.operations.owner import Owner
from llmosd.roles import GRANTED, Role
from llmosd.rpc.bad_tokens import BadTokens, host_of
from llmosd.rpc.caller import TENANT_KEY
from llmosd.rpc.policy import rule_of
from llmosd.store.tokens import TokenRecord

AUTHORIZATION_KEY = "authorization"
_SCHEME = "bearer "
_NAMES = ("x509_subject_alternative_name", "x509_common_name")


@dataclass(frozen=True, slots=True)
class Plane:
    """A listener: the highest role that it serves, and whether who comes without a token has it."""

    name: str
    ceiling: Role
    trusted: bool


MANAGE_PLANE = Plane("manage", Role.ADMIN, trusted=True)
LOOPBACK_PLANE = Plane("loopback", Role.ADMIN, trusted=True)
USE_PLANE = Plane("use", Role.USE, trusted=True)


class Grant(Protocol):
    """What a certificate's name stands for; see config.CertificateGrant."""

    @property
    def role(self) -> str:
        """Its word."""

    @property
    def tenant(self) -> str:
        """For whom its calls are made."""


class TokenBook(Protocol):
    """Where tokens are looked up; see store.tokens.TokenTable."""

    def verify(self, secret: str) -> TokenRecord | None:
        """The token of a secret, whatever has become of it; None where there is none."""

    def used(self, record: TokenRecord) -> None:
        """Note that a call came with it."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: "token:NAME", "certificate:NAME" or "" by a plane.

    `tenant` is None where the call itself says for whom it is made. `token_id` and `expire_time`
    are its token's.
    """

    plane: str
    name: str
    role: Role
    tenant: str | None = None
    token_id: str = ""
    expire_time: datetime | None = None

    @property
    def owner(self) -> Owner:
        """Whose operations it sees, and makes."""
        if self.tenant is None:
            return Owner("", confined=False)
        return Owner(self.tenant, confined=self.role < Role.ADMIN)


class Gate:
    """Lets calls of one plane through, or not."""

    def __init__(self, plane: Plane, tokens: TokenBook, certificates: Mapping[str, Grant]) -> None:
        self.plane = plane
        self._tokens = tokens
        self._certificates = certificates
        self._bad_tokens = BadTokens()

    def identify(
        self, metadata: Any, auth_context: Mapping[str, Iterable[bytes]], peer: str = ""
    ) -> Principal:
        """Who makes a call that comes from `peer`.

        Raises:
            Unauthenticated: a token that is not valid; on TCP, neither a token nor a certificate
                that the configuration knows.
            LimitExceeded: the peer came with too many tokens that are not valid.
        """
        given = [str(value) for key, value in metadata or () if key == AUTHORIZATION_KEY]
        if given:
            try:
                return self._by_token(given)
            except Unauthenticated:
                self._bad_tokens.count(host_of(peer))
                raise
        if self.plane.trusted:
            return Principal(self.plane.name, "", self.plane.ceiling)
        return self._by_certificate(auth_context)

    def anybody(self) -> Principal:
        """Who makes a call for which that does not matter, or cannot be told."""
        return Principal(self.plane.name, "", Role.NONE)

    def authorize(self, method: str, principal: Principal, metadata: Any) -> None:
        """Let a call through.

        Raises:
            PermissionDenied: the method needs a higher role, or has no policy; or the metadata
                names another tenant than the caller's.
        """
        rule = rule_of(method)
        if rule is None:
            raise PermissionDenied(f"{method}: no policy allows this method to anybody")
        if principal.role < rule.role:
            raise self._denied(method, rule.role, principal)
        if principal.tenant is None:
            return
        for key, value in metadata or ():
            if key == TENANT_KEY and value != principal.tenant:
                raise PermissionDenied(
                    f"{TENANT_KEY}: the caller is {principal.tenant!r}, as its credentials say; "
                    f"leave {TENANT_KEY} out",
                    metadata={"tenant": principal.tenant},
                )

    def _denied(self, method: str, needed: Role, principal: Principal) -> PermissionDenied:
        short = method.rpartition("/")[2]
        if needed > self.plane.ceiling:
            why = f"this address serves the role {self.plane.ceiling.word} at most"
            fix = "use the daemon's manage socket (its setting listen)"
        else:
            why = f"{principal.name or 'the caller'} has the role {principal.role.word}"
            fix = f"use credentials of the role {needed.word}"
        return PermissionDenied(
            f"{short} needs the role {needed.word}, and {why}; {fix}",
            metadata={
                "method": method,
                "needed_role": needed.word,
                "role": principal.role.word,
                "plane": self.plane.name,
            },
        )

    def _by_token(self, given: list[str]) -> Principal:
        if len(given) > 1:
            raise Unauthenticated("authorization: one token, please; the call has several")
        if not given[0].lower().startswith(_SCHEME):
            raise Unauthenticated("authorization: must be 'Bearer TOKEN'")
        record = self._tokens.verify(given[0][len(_SCHEME) :].strip())
        if record is None or record.revoke_time is not None:
            # Alike: only who made the token may know which of the two it is.
            raise Unauthenticated(
                "the token is not valid; an administrator makes one: llmos token create"
            )
        if record.expired:
            raise Unauthenticated(
                f"the token {record.name} has expired; an administrator makes one: "
                "llmos token create"
            )
        self._tokens.used(record)
        role = min(GRANTED[record.role], self.plane.ceiling)
        return Principal(
            self.plane.name,
            f"token:{record.name}",
            role,
            record.tenant,
            record.token_id,
            record.expire_time,
        )

    def _by_certificate(self, auth_context: Mapping[str, Iterable[bytes]]) -> Principal:
        names = [
            value.decode("utf-8", "replace")
            for key in _NAMES
            for value in auth_context.get(key, ())
        ]
        for name in names:
            grant = self._certificates.get(name)
            if grant is not None:
                role = min(GRANTED[grant.role], self.plane.ceiling)
                return Principal(self.plane.name, f"certificate:{name}", role, grant.tenant)
        if names:
            raise Unauthenticated(
                "the configuration knows none of the certificate's names, and there is no token; "
                "add one to certificates, or send a token"
            )
        raise Unauthenticated(
            "a token is needed: metadata 'authorization: Bearer TOKEN'; an administrator makes "
            "one: llmos token create"
        )
