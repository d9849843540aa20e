"""llmos config: the settings of the running daemon."""

from typing import TYPE_CHECKING

import click

from llmos_client.cli.options import Group, Settings, pass_settings

if TYPE_CHECKING:
    from llmos_client.configs import ConfigSetting


@click.group("config", cls=Group)
def command() -> None:
    """Show the daemon's settings, and have them read again."""


@command.command("show")
@click.option("--origin", is_flag=True, help="Also say where each setting comes from.")
@pass_settings
def show(settings: Settings, origin: bool) -> None:
    """Show every setting that holds now, as in llmosd.toml."""
    from llmos_client.cli.output import note, print_json

    with settings.client() as client:
        found = client.get_config()
    if settings.json:
        print_json({"settings": found})
        return
    lines = [f"{each.name} = {_toml(each.value)}" for each in found]
    width = min(48, max(map(len, lines)))
    for line, each in zip(lines, found, strict=True):
        print(f"{line.ljust(width)}  # {_origin(each)}" if origin else line)
    waiting = [each.name for each in found if each.restart_pending]
    if waiting:
        note(
            f"Their sources say something else by now, which needs a restart: {', '.join(waiting)}"
        )


@command.command("reload")
@pass_settings
def reload(settings: Settings) -> None:
    """Have the daemon read its settings again, as SIGHUP does; a fault changes nothing."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        done = client.reload_config()
    if settings.json:
        print_json(done)
        return
    print(f"changed: {', '.join(done.applied) or 'nothing'}")
    if done.restart_needed:
        print(f"needs a restart: {', '.join(done.restart_needed)}")


def _origin(setting: "ConfigSetting") -> str:
    return f"{setting.origin} {setting.origin_name}".rstrip()


def _toml(value: object) -> str:
    """A value as TOML has it; JSON differs in tables only."""
    import json

    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(value, ensure_ascii=False)
