"""What every command takes, before or after its name: --address, --output and who one is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llmos_client.cli.completion import complete_context, complete_dataset, complete_model

if TYPE_CHECKING:
    from llmos_client.client import Client

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Settings:
    """What was asked for on the command line; `model` is what errors are about."""

    address: str | None = None
    output: str = "text"
    model: str = ""
    token: str | None = field(default=None, repr=False)
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    context: str | None = None

    @property
    def json(self) -> bool:
        """Answer with JSON."""
        return self.output == "json"

    def client(self, timeout: float = 30.0) -> "Client":
        """Connect to the daemon."""
        from llmos_client.cli.placing import place
        from llmos_client.client import Client

        return Client(timeout=timeout, **place(self))


class Command(click.Command):
    """A command that also takes the options of the group, so that their place does not matter."""

    def __init__(self, name: str | None, **more: Any) -> None:
        params = [*more.pop("params", []), *common_options()]
        super().__init__(name, params=params, **more)


class Group(click.Group):
    """Commands under one name, such as `llmos dataset`; takes the same options before them."""

    command_class = Command

    def __init__(self, name: str | None = None, **more: Any) -> None:
        params = [*more.pop("params", []), *common_options()]
        super().__init__(name, params=params, **more)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a word that is none is an error with a suggestion."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.commands, n=1)
            guess = f"Did you mean: {close[0]}?" if close else f"See: {ctx.command_path} --help."
            ctx.fail(f"no such command: {args[0]}. {guess}")
        return super().resolve_command(ctx, args)


pass_settings = click.make_pass_decorator(Settings, ensure=True)


_CREDENTIALS = (
    ("--token", "TOKEN", "Who you are; better as LLMOS_TOKEN, which ps does not show."),
    (
        "--tls-ca",
        "FILE",
        "Who made the daemon's certificate; else LLMOS_TLS_CA.",
    ),
    ("--tls-cert", "FILE", "Your certificate; else LLMOS_TLS_CERT."),
    ("--tls-key", "FILE", "Its key; else LLMOS_TLS_KEY."),
)


def common_options() -> list[click.Parameter]:
    """Make the options of every command."""
    return [
        click.Option(
            ["--address"],
            metavar="ADDRESS",
            help="unix:PATH, HOST:PORT or tls:HOST:PORT; else LLMOS_ADDRESS or the usual sockets.",
            expose_value=False,
            callback=_set("address"),
        ),
        click.Option(
            ["-o", "--output"],
            type=click.Choice(["text", "json"]),
            help="How to answer; text by default.",
            expose_value=False,
            callback=_set("output"),
        ),
        click.Option(
            ["--context"],
            metavar="NAME",
            help="A place of llmos context; else LLMOS_CONTEXT or the one in use.",
            expose_value=False,
            callback=_set("context"),
            shell_complete=complete_context,
        ),
        *(
            click.Option(
                [flag],
                metavar=metavar,
                help=text,
                expose_value=False,
                callback=_set(flag.removeprefix("--").replace("-", "_")),
            )
            for flag, metavar, text in _CREDENTIALS
        ),
    ]


def model_argument(metavar: str = "MODEL") -> Callable[[F], F]:
    """Take a model's name, completed with those installed."""

    def remember(ctx: click.Context, _: click.Parameter, value: str) -> str:
        ctx.ensure_object(Settings).model = value
        return value

    return click.argument(
        "model", metavar=metavar, shell_complete=complete_model, callback=remember
    )


def dataset_argument() -> Callable[[F], F]:
    """Take a dataset's name, completed with those that are there."""
    return click.argument("name", shell_complete=complete_dataset)


def _set(name: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def store(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            setattr(ctx.ensure_object(Settings), name, value)

    return store
