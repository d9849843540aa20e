"""llmos gc: remove what nobody needs any more."""

import click

from llmos_client.cli.options import Command, Settings, pass_settings
from llmos_client.cli.quantities import read_duration


@click.command("gc", cls=Command)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="Also remove versions, but the newest N of each model and what anything refers to.",
)
@click.option(
    "--older-than",
    callback=read_duration,
    default="0s",
    metavar="TIME",
    help="Only jobs that ended and versions made longer ago, as 12h or 30d.",
)
@pass_settings
def command(settings: Settings, dry_run: bool, keep: int | None, older_than: float) -> None:
    """Remove packed weights of deleted versions, token caches, and what ended jobs left."""
    from llmos_client.cli.output import human_bytes, print_json, print_table

    if older_than < 0:
        raise click.UsageError("--older-than: as 12h or 30d")
    with settings.client() as client:
        done = client.collect_garbage(dry_run=dry_run, keep=keep, older_than=older_than)
    if settings.json:
        print_json({"dry_run": dry_run, "garbage": done})
        return
    if done.items:
        rows = [(each.kind, each.name, human_bytes(each.byte_size)) for each in done.items]
        print_table(("KIND", "NAME", "SIZE"), rows)
    total = human_bytes(sum(each.byte_size for each in done.items))
    quota = f" of {human_bytes(done.quota_bytes)}" if done.quota_bytes else ""
    would = "would be removed" if dry_run else "removed"
    print(f"{total} {would}; the state takes {human_bytes(done.used_bytes)}{quota}")
