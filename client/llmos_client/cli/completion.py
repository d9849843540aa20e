"""Names of models and datasets for the shell's TAB; silence where the daemon is slow or away."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

    from llmos_client.client import Client

_SECONDS = 0.5


def complete_model(ctx: "click.Context", _: "click.Parameter", incomplete: str) -> list[str]:
    """List the installed models whose names begin so."""
    return _known(ctx, incomplete, lambda client: [each.id for each in client.list_models()])


def complete_dataset(ctx: "click.Context", _: "click.Parameter", incomplete: str) -> list[str]:
    """List the datasets whose names begin so."""
    return _known(ctx, incomplete, lambda client: [each.id for each in client.list_datasets()])


def complete_job(ctx: "click.Context", _: "click.Parameter", incomplete: str) -> list[str]:
    """List the jobs whose names begin so."""

    def jobs(client: "Client") -> list[str]:
        return [each.name.removeprefix("operations/") for each in client.list_operations()]

    return _known(ctx, incomplete, jobs)


def complete_context(_: "click.Context", __: "click.Parameter", incomplete: str) -> list[str]:
    """List the contexts whose names begin so."""
    from llmos_client import contexts
    from llmos_client.errors import LlmosError

    try:
        known = contexts.load(contexts.location()).contexts
    except LlmosError:
        return []
    return [name for name in known if name.startswith(incomplete)]


def complete_catalogue(_: "click.Context", __: "click.Parameter", incomplete: str) -> list[str]:
    """List the entries of the catalogue whose names begin so."""
    from llmos_client.fetch.catalogue import load_catalogue

    return [name for name in load_catalogue() if name.startswith(incomplete)]


def _known(
    ctx: "click.Context", incomplete: str, names: "Callable[[Client], list[str]]"
) -> list[str]:
    """The names that the daemon knows and that begin so."""
    from llmos_client.cli.options import Settings
    from llmos_client.errors import LlmosError

    try:
        with ctx.ensure_object(Settings).client(timeout=_SECONDS) as client:
            return [name for name in names(client) if name.startswith(incomplete)]
    except LlmosError:
        return []
