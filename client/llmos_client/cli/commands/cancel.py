"""llmos cancel: End a job."""

import click

from llmos_client.cli.completion import complete_job
from llmos_client.cli.options import Command, Settings, pass_settings


@click.command("cancel", cls=Command)
@click.argument("job", shell_complete=complete_job)
@pass_settings
def command(settings: Settings, job: str) -> None:
    """End a job. Its checkpoints stay until llmos jobs --remove."""
    from llmos_client.cli.job_view import job_name
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        client.cancel_operation(job_name(job))
        operation = client.get_operation(job_name(job))
    if settings.json:
        print_json({"job": operation})
    elif operation.done:
        print(f"{operation.name} has ended: {operation.state}")
    else:
        print("cancelled after the step it is in")
