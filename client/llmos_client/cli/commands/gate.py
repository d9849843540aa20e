"""llmos gate: what evaluations must show before an alias moves."""

from typing import TYPE_CHECKING

import click

from llmos_client.cli.conditions import read_conditions
from llmos_client.cli.options import Group, Settings, model_argument, pass_settings

if TYPE_CHECKING:
    from llmos_client.promotions import GateCondition

_alias = click.option("--alias", default="live", metavar="NAME", help="Whose; live by default.")


@click.group("gate", cls=Group)
def command() -> None:
    """Show and set what a version must show in evaluations before an alias may mean it.

    llmos promote and llmos learn evaluate it then: on a dataset, or on suites/ID.
    """


@command.command("show")
@model_argument()
@_alias
@pass_settings
def show(settings: Settings, model: str, alias: str) -> None:
    """Show the conditions of an alias."""
    with settings.client() as client:
        _print(settings, client.get_gate_policy(model, alias))


@command.command("set")
@model_argument()
@click.argument("conditions", nargs=-1, required=True, callback=read_conditions)
@_alias
@pass_settings
def set_(
    settings: Settings, model: str, conditions: "tuple[GateCondition, ...]", alias: str
) -> None:
    """Set all conditions of an alias: "suites/anchors perplexity worse <= 2%".

    A condition is a dataset or suite, a metric of its evaluation, and a limit: <= N, >= N, or
    worse <= SHARE, against the version that the alias means then.
    """
    with settings.client() as client:
        _print(settings, client.set_gate_policy(model, alias, conditions))


@command.command("clear")
@model_argument()
@_alias
@pass_settings
def clear(settings: Settings, model: str, alias: str) -> None:
    """Let an alias move without an evaluation."""
    with settings.client() as client:
        _print(settings, client.set_gate_policy(model, alias, ()))


def _print(settings: Settings, conditions: "tuple[GateCondition, ...]") -> None:
    from llmos_client.cli.conditions import words
    from llmos_client.cli.output import print_json

    if settings.json:
        print_json({"conditions": conditions})
    elif not conditions:
        print("no conditions")
    else:
        print("\n".join(line for each in conditions for line in words(each)))
