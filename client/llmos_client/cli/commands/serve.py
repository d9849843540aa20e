"""llmos serve: become the daemon."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from llmos_client.cli.options import Settings, pass_settings
from llmos_client.errors import FeatureUnavailableError

# The command llmosd comes with every installation, what it runs on only with the extra.
_NEEDED = ("torch", "numba", "tokenizers", "msgspec", "structlog", "grpc_health")


@click.command(
    "serve",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_settings
def command(settings: Settings, arguments: tuple[str, ...]) -> None:
    """Start the daemon in the foreground; arguments go to llmosd."""
    if settings.address:
        raise click.UsageError("llmos serve: where to listen is llmosd's --listen, after serve")
    missing = [name for name in _NEEDED if find_spec(name) is None]
    daemon = _find_daemon()
    if missing or daemon is None:
        lacking = f" (missing: {', '.join(missing)})" if missing else ""
        raise FeatureUnavailableError(
            f"the daemon is not installed here{lacking}; try: pip install 'llmos[server]'",
            code="FAILED_PRECONDITION",
        )
    # Becomes the daemon: the same process, so signals and the terminal are its own.
    os.execv(daemon, [daemon, *arguments])  # noqa: S606 - no shell is wanted


def _find_daemon() -> str | None:
    # Beside this Python, whose path may be a link: it is the link's folder that has the commands.
    beside = Path(sys.executable).parent / "llmosd"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("llmosd")
