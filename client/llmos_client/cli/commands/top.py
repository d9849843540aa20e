"""llmos top: what the models in memory have to do, as it changes."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from llmos_client.cli.options import Command, Settings, pass_settings

if TYPE_CHECKING:
    from llmos_client.loads import Load, ModelLoad

_MODELS = (
    "NAME",
    "RUNNING",
    "LOW",
    "NORMAL",
    "HIGH",
    "ROWS",
    "KV",
    "PROMPT/S",
    "TOKENS/S",
    "CACHED",
    "GUESSED",
    "PREEMPTED",
    "LATE",
    "WAIT",
)
_TENANTS = ("NAME", "TENANT", "WEIGHT", "RUNNING", "WAITING", "PROMPT", "TOKENS")


@click.command("top", cls=Command)
@click.option("--once", is_flag=True, help="Show it once and end.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 60),
    default=1.0,
    metavar="SECONDS",
    help="Between two looks; 1 by default.",
)
@pass_settings
def command(settings: Settings, once: bool, interval: float) -> None:
    """Watch the load: what runs and waits, for whom, and how fast; memory and jobs.

    LOW, NORMAL and HIGH are what waits. With -o json, one line per look. Ctrl-C ends it.
    """
    from llmos_client.cli.output import print_json, print_json_line

    with (
        settings.client() as client,
        client.watch_load(interval=interval) as events,
        suppress(KeyboardInterrupt),
    ):
        if once:
            load = next(events)
            print_json(load) if settings.json else print("\n".join(_lines(load)))
        elif settings.json:
            _follow(events, print_json_line)
        elif sys.stdout.isatty():
            _live(events)
        else:
            _follow(events, lambda load: print("\n".join([*_lines(load), ""]), flush=True))


def _follow(events: "Iterable[Load]", show: "Callable[[Load], None]") -> None:
    for load in events:
        show(load)


def _live(events: "Iterable[Load]") -> None:
    """Draw every look over the last one."""
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False, vertical_overflow="crop") as screen:
        _follow(events, lambda load: screen.update(Text("\n".join(_lines(load))), refresh=True))


def _lines(load: "Load") -> list[str]:
    from llmos_client.cli.commands import jobs
    from llmos_client.cli.output import human_bytes, table_lines

    lines = []
    if load.memory_total_bytes:
        used, free, total = map(
            human_bytes,
            (load.resident_bytes, load.memory_available_bytes, load.memory_total_bytes),
        )
        lines += [f"memory: {used} used by llmos, {free} available of {total}", ""]
    if not load.models:
        lines.append("Nothing is loaded. Try: llmos load MODEL")
    else:
        lines += table_lines(_MODELS, [_model_row(model) for model in load.models])
    tenants = [row for model in load.models for row in _tenant_rows(model)]
    if tenants:
        lines += ["", *table_lines(_TENANTS, tenants)]
    if load.jobs:
        lines += ["", *table_lines(jobs.HEADERS, [jobs.row(job) for job in load.jobs])]
    return lines


def _model_row(model: "ModelLoad") -> tuple[str, ...]:
    waiting = {each.priority: str(each.waiting) for each in model.classes}
    return (
        _name(model),
        str(model.running),
        *(waiting.get(priority, "-") for priority in ("low", "normal", "high")),
        f"{model.rows_per_step:.1f}",
        _share(model.kv_blocks_used, model.kv_blocks_total),
        f"{model.prompt_tokens_per_second:.0f}",
        f"{model.generated_tokens_per_second:.0f}",
        _share(model.cached_prompt_tokens, model.prompt_tokens),
        _share(model.accepted_tokens, model.drafted_tokens),
        str(model.preemptions),
        str(model.late),
        f"{model.estimated_wait:.1f}s",
    )


def _tenant_rows(model: "ModelLoad") -> list[tuple[str, ...]]:
    return [
        (
            _name(model),
            each.tenant or "-",
            f"{each.weight:g}",
            str(each.running),
            str(each.waiting),
            str(each.prompt_tokens),
            str(each.generated_tokens),
        )
        for each in sorted(model.tenants, key=lambda each: -each.generated_tokens)
    ]


def _name(model: "ModelLoad") -> str:
    """The version, as it is named on the command line."""
    return model.model_version.removeprefix("models/")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"
