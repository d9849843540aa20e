"""What an administrator asks by asyncio: metrics, the log level, the daemon's own checks."""

from llmos_client import administration_calls
from llmos_client.administration import LogLevel, ServerCheck
from llmos_client.aio_connection import AsyncConnection


class AsyncAdministrationMethods(AsyncConnection):
    """The part of AsyncClient about the daemon itself."""

    async def metrics(self) -> str:
        """All metrics at this moment, in Prometheus' text format."""
        return await self._call(administration_calls.metrics())

    async def log_level(self) -> LogLevel:
        """From which level on the daemon logs."""
        return await self._call(administration_calls.log_level())

    async def set_log_level(self, level: str) -> LogLevel:
        """Log from "debug", "info", "warning" or "error" on, until the daemon ends.

        Returns the level before.
        """
        return await self._call(administration_calls.set_log_level(level))

    async def check_server(self) -> list[ServerCheck]:
        """What the daemon finds when it looks at itself and its machine."""
        return await self._call(administration_calls.check_server())
