"""The calls about tokens; see `calls`."""

from typing import Any

from google.protobuf import duration_pb2

from llmos.v1 import access_service_pb2 as pb
from llmos_client.access import AccessRole, AccessToken, NewToken
from llmos_client.calls import Call
from llmos_client.parsing_base import enum, moment
from llmos_client.requests import enum_value


def create_token(name: str, role: str, tenant: str, lifetime: float | None) -> Call[NewToken]:
    """Call CreateToken."""
    request = pb.CreateTokenRequest(
        name=name, role=enum_value(pb.Role, "ROLE_", role), tenant=tenant
    )
    if lifetime is not None:
        span = duration_pb2.Duration()
        span.FromMilliseconds(round(lifetime * 1000))
        request.lifetime.CopyFrom(span)

    def parse(response: Any) -> NewToken:
        return NewToken(_token(response.token), response.secret)

    return Call("access", "CreateToken", request, parse)


def list_tokens() -> Call[list[AccessToken]]:
    """Call ListTokens."""

    def parse(response: Any) -> list[AccessToken]:
        return [_token(each) for each in response.tokens]

    return Call("access", "ListTokens", pb.ListTokensRequest(), parse)


def revoke_token(name: str) -> Call[AccessToken]:
    """Call RevokeToken."""
    return Call("access", "RevokeToken", pb.RevokeTokenRequest(name=name), _token)


def _token(proto: Any) -> AccessToken:
    return AccessToken(
        name=proto.name,
        id=proto.id,
        role=enum(AccessRole, pb.Role, "ROLE_", proto.role),
        tenant=proto.tenant,
        create_time=moment(proto, "create_time"),
        expire_time=moment(proto, "expire_time"),
        revoke_time=moment(proto, "revoke_time"),
        last_use_time=moment(proto, "last_use_time"),
    )
