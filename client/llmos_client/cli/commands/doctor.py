"""llmos doctor: is everything as it should be, and if not, what is to be done?"""

import click

from llmos_client.cli.options import Command, Settings, pass_settings

_MARKS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM"}


@click.command("doctor", cls=Command)
@pass_settings
def command(settings: Settings) -> int:
    """Check the whole set-up: address, versions, disk, memory, models, jobs, certificates.

    Exits with 1 if there is a problem; warnings are none.
    """
    from llmos_client.administration import CheckResult
    from llmos_client.cli.diagnosis import diagnose
    from llmos_client.cli.output import print_json

    checks = diagnose(settings)
    if settings.json:
        print_json({"checks": checks})
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            print(
                f"{_MARKS[str(check.result)].ljust(7)}  {check.name.ljust(width)}  {check.message}"
            )
            if check.fix:
                print(f"{' ' * (width + 11)}-> {check.fix}")
    return int(any(check.result is CheckResult.PROBLEM for check in checks))
