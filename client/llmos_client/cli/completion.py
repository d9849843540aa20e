"""Names of models and datasets for the shell's TAB; silence where the daemon is slow or away."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

_SECONDS = 0.5


def complete_model(ctx: "click.Context", _: "click.Parameter", incomplete: str) -> list[str]:
    """List the installed models whose names begin so."""
    from llmos_client.client import Client
    from llmos_client.errors import LlmosError

    address = (ctx.find_root().params or {}).get("address")
    try:
        with Client(address, timeout=_SECONDS) as client:
            return [m.id for m in client.list_models() if m.id.startswith(incomplete)]
    except LlmosError:
        return []


def complete_job(ctx: "click.Context", _: "click.Parameter", incomplete: str) -> list[str]:
    """List the jobs whose names begin so."""
    from llmos_client.client import Client
    from llmos_client.errors import LlmosError

    address = (ctx.find_root().params or {}).get("address")
    try:
        with Client(address, timeout=_SECONDS) as client:
            names = [o.name.removeprefix("operations/") for o in client.list_operations()]
    except LlmosError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def complete_dataset(ctx: "click.Context", _: "click.Parameter", incomplete: str) -> list[str]:
    """List the datasets whose names begin so."""
    from llmos_client.client import Client
    from llmos_client.errors import LlmosError

    address = (ctx.find_root().params or {}).get("address")
    try:
        with Client(address, timeout=_SECONDS) as client:
            return [d.id for d in client.list_datasets() if d.id.startswith(incomplete)]
    except LlmosError:
        return []


def complete_catalogue(_: "click.Context", __: "click.Parameter", incomplete: str) -> list[str]:
    """List the entries of the catalogue whose names begin so."""
    from llmos_client.fetch.catalogue import load_catalogue

    return [name for name in load_catalogue() if name.startswith(incomplete)]
