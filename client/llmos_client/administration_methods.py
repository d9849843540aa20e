"""What an administrator asks: metrics, the log's level, the daemon's own checks."""

from llmos_client import administration_calls
from llmos_client.administration import LogLevel, ServerCheck
from llmos_client.connection import Connection


class AdministrationMethods(Connection):
    """The part of Client about the daemon itself."""

    def metrics(self) -> str:
        """All metrics at this moment, in Prometheus' text format."""
        return self._call(administration_calls.metrics())

    def log_level(self) -> LogLevel:
        """From which level on the daemon logs."""
        return self._call(administration_calls.log_level())

    def set_log_level(self, level: str) -> LogLevel:
        """Log from "debug", "info", "warning" or "error" on, until the daemon ends.

        Returns the level before.
        """
        return self._call(administration_calls.set_log_level(level))

    def check_server(self) -> list[ServerCheck]:
        """What the daemon finds when it looks at itself and its machine."""
        return self._call(administration_calls.check_server())
