"""The manual pages: nothing that the commands take is missing, and groff has nothing to say."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from llmos_client.cli import problems
from llmos_client.cli.main import cli
from llmosd import __main__ as llmosd_main

PAGES = Path(__file__).parents[1] / "docs" / "man"
MAN = {"llmos": PAGES / "llmos.1", "llmosd": PAGES / "llmosd.8"}
EXIT_STATUSES = {
    "llmos": {0, 130} | {v for k, v in vars(problems).items() if k.startswith("EXIT_")},
    "llmosd": {0, *(v for k, v in vars(llmosd_main).items() if k.startswith("EX_"))},
}


def rendered(program):
    """A manual page's source with the macros of flags written out."""
    return re.sub(
        r"Fl (?:Fl )?(?=[a-z])", lambda m: "-" * m[0].count("Fl"), MAN[program].read_text()
    )


def test_llmosd_page_has_every_flag():
    flags = [flag for action in llmosd_main._parser()._actions for flag in action.option_strings]
    assert [flag for flag in flags if not mentions("llmosd", flag)] == []


def test_llmos_page_has_every_command_and_option():
    missing = []
    for name, command in commands(cli):
        if not re.search(rf"^\.It Cm {name}\b", MAN["llmos"].read_text(), re.MULTILINE):
            missing.append(name)
        options = [p for p in command.params if isinstance(p, click.Option)]
        flags = [flag for option in options for flag in option.opts]
        missing += [f"{name} {flag}" for flag in flags if not mentions("llmos", flag)]
    assert missing == []


def commands(group, above=""):
    """(name, command) of all commands, those of groups as "dataset add"."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def test_commands_of_groups_are_seen():
    assert "dataset clean" in dict(commands(cli))


def mentions(program, flag):
    return re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", rendered(program))


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("path", MAN.values(), ids=MAN)
def test_manual_page_formats_without_warnings(path):
    done = subprocess.run(
        ["groff", "-mdoc", "-ww", "-Tutf8", "-z", str(path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", MAN)
def test_exit_statuses(program):
    section = MAN[program].read_text().partition(".Sh EXIT STATUS")[2].partition(".Sh")[0]
    codes = {int(code) for code in re.findall(r"^\.It (\d+)$", section, re.MULTILINE)}
    assert codes == EXIT_STATUSES[program]
