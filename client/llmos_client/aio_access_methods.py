"""What an asyncio client does with tokens: make, list and revoke them."""

from llmos_client import access_calls
from llmos_client.access import AccessToken, NewToken
from llmos_client.aio_connection import AsyncConnection


class AsyncAccessMethods(AsyncConnection):
    """The part of AsyncClient about who may call."""

    async def create_token(
        self, name: str, role: str, *, tenant: str = "", lifetime: float | None = None
    ) -> NewToken:
        """Make a token of the role "use", "manage" or "admin"; its secret is in the answer only.

        Calls with it are made for `tenant`, by default its name; `lifetime` is in seconds.
        """
        return await self._call(access_calls.create_token(name, role, tenant, lifetime))

    async def list_tokens(self) -> list[AccessToken]:
        """List all tokens that were ever made, oldest first."""
        return await self._call(access_calls.list_tokens())

    async def revoke_token(self, name: str) -> AccessToken:
        """Refuse a token from the next call on; calls that run go on."""
        return await self._call(access_calls.revoke_token(name))
