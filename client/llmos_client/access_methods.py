"""What a client does with tokens: make, list and revoke them."""

from llmos_client import access_calls
from llmos_client.access import AccessToken, NewToken
from llmos_client.connection import Connection


class AccessMethods(Connection):
    """The part of Client about who may call."""

    def create_token(
        self, name: str, role: str, *, tenant: str = "", lifetime: float | None = None
    ) -> NewToken:
        """Make a token of the role "use", "manage" or "admin"; its secret is in the answer only.

        Calls with it are made for `tenant`, by default its name; `lifetime` is in seconds.
        """
        return self._call(access_calls.create_token(name, role, tenant, lifetime))

    def list_tokens(self) -> list[AccessToken]:
        """List all tokens that were ever made, oldest first."""
        return self._call(access_calls.list_tokens())

    def revoke_token(self, name: str) -> AccessToken:
        """Refuse a token from the next call on; calls that run go on."""
        return self._call(access_calls.revoke_token(name))
