"""llmos token: who may call the daemon, over which role, and for whom."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from llmos_client.cli.options import Group, Settings, pass_settings
from llmos_client.cli.quantities import read_duration

if TYPE_CHECKING:
    from llmos_client.access import AccessToken

_HEADERS = ("NAME", "ROLE", "TENANT", "STATE", "EXPIRES", "LAST USED")


@click.group("token", cls=Group)
def command() -> None:
    """Make, list and revoke tokens; a token is who its bearer is."""


@command.command("create")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["use", "manage", "admin"]),
    default="use",
    help="What it may do: use by default.",
)
@click.option("--tenant", default="", metavar="NAME", help="For whom; by default its name.")
@click.option(
    "--lifetime",
    callback=read_duration,
    default="90d",
    metavar="TIME",
    help="As 12h or 90d, or never; 90d by default.",
)
@pass_settings
def create(settings: Settings, name: str, role: str, tenant: str, lifetime: float) -> None:
    """Make a token; this is the only time that it is shown."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        made = client.create_token(
            name, role, tenant=tenant, lifetime=None if lifetime < 0 else lifetime
        )
    if settings.json:
        print_json({"token": made.token, "secret": made.secret})
        return
    print(made.secret)
    ends = f"until {_day(made.token.expire_time)}" if made.token.expire_time else "for ever"
    click.echo(
        f"{name}: role {made.token.role}, tenant {made.token.tenant}, valid {ends}. "
        "Keep it now: it is not shown again. Clients send it as LLMOS_TOKEN.",
        err=True,
    )


@command.command("list")
@pass_settings
def list_(settings: Settings) -> None:
    """List all tokens, revoked ones too; never their secrets."""
    from llmos_client.cli.output import print_json, print_table

    with settings.client() as client:
        tokens = client.list_tokens()
    if settings.json:
        print_json({"tokens": tokens})
        return
    rows = [
        (
            each.name,
            str(each.role),
            each.tenant,
            _state(each),
            _day(each.expire_time) or "never",
            _day(each.last_use_time) or "never",
        )
        for each in tokens
    ]
    print_table(_HEADERS, rows)


@command.command("revoke")
@click.argument("name")
@pass_settings
def revoke(settings: Settings, name: str) -> None:
    """Refuse a token from the next call on."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        token = client.revoke_token(name)
    if settings.json:
        print_json({"token": token})
    else:
        print(f"{name}: revoked")


def _state(token: "AccessToken") -> str:
    if token.revoke_time is not None:
        return "revoked"
    over = token.expire_time is not None and token.expire_time <= datetime.now(UTC)
    return "expired" if over else "valid"


def _day(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone().isoformat(sep=" ", timespec="minutes")
