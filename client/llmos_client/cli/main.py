"""Entry point: finds the command, runs it, turns what went wrong into a sentence and a code."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from llmos_client.cli.options import Settings, common_options
from llmos_client.errors import LlmosError

# In the order in which a person meets them.
_COMMANDS = {
    "pull": "pull",
    "import": "import_model",
    "export": "export",
    "list": "list_models",
    "show": "show",
    "rm": "rm",
    "load": "load",
    "unload": "unload",
    "promote": "promote",
    "rollback": "rollback",
    "alias": "alias",
    "gate": "gate",
    "ps": "ps",
    "top": "top",
    "run": "run",
    "chat": "chat",
    "classify": "classify",
    "embed": "embed",
    "explain": "explain",
    "tokenize": "tokenize",
    "latent": "latent",
    "dataset": "dataset",
    "batch": "batch",
    "train": "train",
    "optimize": "optimize",
    "evaluate": "evaluate",
    "evaluations": "evaluations",
    "rate": "rate",
    "feedback": "feedback",
    "learn": "learn",
    "jobs": "jobs",
    "watch": "watch",
    "curve": "curve",
    "pause": "pause",
    "resume": "resume",
    "cancel": "cancel",
    "context": "context",
    "token": "token",
    "certs": "certs",
    "config": "config",
    "backup": "backup",
    "gc": "gc",
    "status": "status",
    "doctor": "doctor",
    "metrics": "metrics",
    "log-level": "log_level",
    "serve": "serve",
    "install": "install",
    "version": "version",
}


def main() -> None:
    """Run the command line and exit with its code."""
    # Before gRPC is loaded: its core writes to stderr what the errors below say better.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    settings = Settings()
    try:
        code = cli.main(list(arguments), prog_name="llmos", standalone_mode=False, obj=settings)
    except click.ClickException as error:
        from llmos_client.cli.problems import report_usage

        return report_usage(error, settings)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        return _reader_left()
    except (LlmosError, OSError) as error:
        from llmos_client.cli.problems import report

        return report(error, settings)
    return code if isinstance(code, int) else 0


class _Commands(click.Group):
    """A group that imports a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"llmos_client.cli.commands.{_COMMANDS[cmd_name]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no such command: {args[0]}.{_similar(args[0])}")
        return super().resolve_command(ctx, args)


@click.command(
    cls=_Commands,
    params=common_options(),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with: llmos serve, llmos pull smollm2, llmos run smollm2 'Hello'.",
)
@click.version_option(package_name="llmos", message="%(prog)s %(version)s")
def cli() -> None:
    """Load, serve and talk to language models on this machine."""


def _similar(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, _COMMANDS, n=1)
    return f" Did you mean: llmos {close[0]}?" if close else " See: llmos --help."


def _reader_left() -> int:
    # Python flushes stdout once more at exit: give it a place to.
    os.dup2(os.open(os.devnull, os.O_WRONLY), _stdout_number())
    return 1


def _stdout_number() -> int:
    stdout: Any = sys.stdout
    return int(stdout.fileno())
