"""llmos dataset clean: a version made by a recipe."""

from typing import Any

import click

from llmos_client.cli.options import Command, Settings, dataset_argument, pass_settings

_PERSONAL_DATA = (
    "email", "phone", "credit_card", "iban", "ip_address", "ssn", "chinese_id", "secret",
)  # fmt: skip
_SHARE = click.FloatRange(0, 1, max_open=True)


@click.command("clean", cls=Command)
@dataset_argument()
@click.option("--out", "dataset_id", metavar="ID", help="The dataset that gets the new version.")
@click.option("--unicode", type=click.Choice(["nfc", "nfkc"]), help="Normalize characters.")
@click.option(
    "--pii",
    "personal_data",
    multiple=True,
    type=click.Choice(["all", *_PERSONAL_DATA]),
    help="Replace personal data of this kind; may be repeated.",
)
@click.option("--lowercase", is_flag=True, help="For counting words, as the next three.")
@click.option("--segment-chinese", is_flag=True, help="Set Chinese words apart by spaces.")
@click.option("--stop-words", type=click.Choice(["english", "chinese"]), help="Remove these.")
@click.option("--strip-punctuation", is_flag=True, help="Remove punctuation.")
@click.option("--deduplicate", is_flag=True, help="Of equal rows keep the first.")
@click.option(
    "--near-duplicates",
    metavar="SIMILARITY",
    type=click.FloatRange(0.3, 1),
    help="Of rows this similar keep the first; 0.8 is usual.",
)
@click.option("--validation", metavar="SHARE", type=_SHARE, help="Of the rows, as 0.1.")
@click.option("--test", metavar="SHARE", type=_SHARE, help="Of the rows, as 0.1.")
@click.option("--salt", metavar="TEXT", help="Other text, other split.")
@click.option(
    "--noise",
    metavar="SHARE",
    type=click.FloatRange(0, 0.5, min_open=True),
    help="Add copies of training rows with this share of characters mistyped.",
)
@click.option("--noise-copies", type=click.IntRange(1, 8), help="Of each row; 1 by default.")
@click.option("--noise-seed", type=click.IntRange(0), help="Other seed, other typing errors.")
@pass_settings
def clean(settings: Settings, /, name: str, dataset_id: str | None, **given: Any) -> None:
    """Make a new version of NAME by the steps that are asked for, and no other."""
    from llmos_client.cli.commands.dataset import print_made
    from llmos_client.cli.install import wait_or_cancel
    from llmos_client.cli.progress import open_progress

    recipe = {step: value for step, value in given.items() if value not in (None, False, ())}
    if "all" in given["personal_data"]:
        recipe["personal_data"] = "all"
    if not recipe:
        raise click.UsageError("no step is asked for; see: llmos dataset clean --help")
    for step in ("noise_copies", "noise_seed"):
        if step in recipe and "noise" not in recipe:
            raise click.UsageError(f"--{step.replace('_', '-')} needs --noise")
    if "salt" in recipe and not recipe.keys() & {"validation", "test"}:
        raise click.UsageError("--salt needs --validation or --test")
    with open_progress(quiet=settings.json) as progress, settings.client() as client:
        operation = client.preprocess_dataset(
            name, dataset_id=dataset_id or "", wait=False, **recipe
        )
        version = wait_or_cancel(client, operation, progress)
    print_made(settings, version)
