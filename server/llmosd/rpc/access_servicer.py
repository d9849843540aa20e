"""llmos.v1.AccessService: translate, call, translate."""

from typing import Any

from llmos.v1 import access_service_pb2 as pb
from llmos.v1 import access_service_pb2_grpc
from llmosd.roles import GRANTED, Role
from llmosd.rpc import convert
from llmosd.rpc.sessions import Sessions
from llmosd.store.tokens import TokenRecord, TokenTable

_TO_PROTO = {
    Role.USE: pb.ROLE_USE,
    Role.MANAGE: pb.ROLE_MANAGE,
    Role.ADMIN: pb.ROLE_ADMIN,
}
_FROM_PROTO = {value: role for role, value in _TO_PROTO.items()}


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """Tokens: made, listed and revoked."""

    def __init__(self, tokens: TokenTable, sessions: Sessions) -> None:
        self._sessions = sessions
        self._tokens = tokens

    async def CreateToken(
        self, request: pb.CreateTokenRequest, _context: Any
    ) -> pb.CreateTokenResponse:
        """Make a token; the secret is in this answer only."""
        lifetime = None
        if request.HasField("lifetime"):
            lifetime = convert.seconds("lifetime", request.lifetime)
        role = _FROM_PROTO[request.role].word
        tenant = request.tenant or request.name
        record, secret = self._tokens.create(request.name, role, tenant, lifetime)
        return pb.CreateTokenResponse(token=_token(record), secret=secret)

    async def ListTokens(
        self, _request: pb.ListTokensRequest, _context: Any
    ) -> pb.ListTokensResponse:
        """All tokens, oldest first."""
        return pb.ListTokensResponse(tokens=[_token(each) for each in self._tokens.list()])

    async def RevokeToken(self, request: pb.RevokeTokenRequest, _context: Any) -> pb.AccessToken:
        """Refuse a token from now on, and end the calls that run with it."""
        record = self._tokens.revoke(request.name)
        self._sessions.revoke(record.token_id)
        return _token(record)


def _token(record: TokenRecord) -> pb.AccessToken:
    return pb.AccessToken(
        name=record.name,
        role=_TO_PROTO[GRANTED[record.role]],
        tenant=record.tenant,
        create_time=convert.timestamp(record.create_time),
        expire_time=convert.timestamp(record.expire_time),
        revoke_time=convert.timestamp(record.revoke_time),
        last_use_time=convert.timestamp(record.last_use_time),
        id=record.token_id,
    )
