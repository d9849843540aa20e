"""llmos watch: follow a job to its end."""

import click

from llmos_client.cli.completion import complete_job
from llmos_client.cli.options import Command, Settings, pass_settings


@click.command("watch", cls=Command)
@click.argument("job", shell_complete=complete_job)
@click.option("--from", "after", type=int, default=0, metavar="N", help="Only events after this.")
@pass_settings
def command(settings: Settings, job: str, after: int) -> int:
    """Follow a job: how far it is, its loss, what it answers.

    Ctrl-C ends the watching; the job goes on. With -o json, one line per event.
    """
    from llmos_client.cli.job_view import follow, job_name

    with settings.client() as client:
        return follow(client, job_name(job), settings, after=after)
