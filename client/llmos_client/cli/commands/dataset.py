"""llmos dataset: what models are trained on and judged by."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmos_client.cli.commands.dataset_clean import clean
from llmos_client.cli.options import Group, Settings, dataset_argument, pass_settings

if TYPE_CHECKING:
    from llmos_client.datasets import DatasetVersion, Example

KINDS = (
    "text", "chat", "pairs", "labelled", "graded", "preference", "rated", "choices", "checks",
)  # fmt: skip
_WIDEST = 100


@click.group("dataset", cls=Group)
def command() -> None:
    """Add, look into, clean and remove datasets."""


command.add_command(clean)


@command.command("add")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option("--name", metavar="ID", required=True, help="The dataset's name.")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What a row holds.")
@click.option("--license", "license_", metavar="SPDX", default="", help="As CC-BY-4.0.")
@click.option("--source", metavar="TEXT", default="", help="Where it is from, for the record.")
@click.option("--one-per-line", is_flag=True, help="Each line of a .txt file is a text.")
@pass_settings
def add(settings: Settings, /, files: tuple[Path, ...], **options: Any) -> None:
    """Check files of JSON lines or text, and make a version of them."""
    from llmos_client.cli.install import wait_or_cancel
    from llmos_client.cli.output import print_json
    from llmos_client.cli.progress import open_progress

    began = time.monotonic()
    with open_progress(quiet=settings.json) as progress, settings.client() as client:
        client.server_info()  # before the hashing, which takes a while: is anybody there?
        operation = client.upload_dataset(
            options["name"],
            files,
            kind=options["kind"],
            license=options["license_"],
            source=options["source"],
            one_per_line=options["one_per_line"],
            on_progress=progress,
        )
        version = wait_or_cancel(client, operation, progress)
    if settings.json:
        print_json({"version": version, "seconds": round(time.monotonic() - began, 3)})
    else:
        print(f"added {_summary(version)}")
        print(f"Try: llmos dataset head {version.dataset}")


@command.command("list")
@pass_settings
def list_(settings: Settings) -> None:
    """List the datasets."""
    from llmos_client.cli.output import human_bytes, note, print_json, print_table

    with settings.client() as client:
        found = client.list_datasets()
    if settings.json:
        print_json({"datasets": found})
        return
    if not found:
        note("No datasets yet. Try: llmos dataset add FILE --name ID --kind text")
        return
    rows = [
        (
            dataset.id,
            str(dataset.newest.number),
            str(dataset.newest.kind),
            f"{dataset.newest.row_count:,}",
            human_bytes(dataset.newest.byte_size),
            dataset.newest.license or "-",
        )
        for dataset in found
    ]
    print_table(("NAME", "NEWEST", "KIND", "ROWS", "SIZE", "LICENSE"), rows)


@command.command("show")
@dataset_argument()
@pass_settings
def show(settings: Settings, name: str) -> None:
    """Show a dataset's versions, or NAME/versions/N alone."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        if "/versions/" in name:
            versions = [client.get_dataset_version(name)]
        else:
            versions = client.list_dataset_versions(name)
    if settings.json:
        print_json({"versions": versions})
        return
    for version in versions:
        _print_version(version)
        print()


@command.command("head")
@dataset_argument()
@click.option("-n", "number", type=click.IntRange(1, 1000), default=5, help="Rows; 5 by default.")
@click.option("--split", type=click.Choice(["train", "validation", "test"]), help="Of one split.")
@pass_settings
def head(settings: Settings, name: str, number: int, split: Any) -> None:
    """Show the first rows."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        examples = client.list_examples(name, split=split, limit=number)
    if settings.json:
        print_json({"examples": examples})
        return
    for example in examples:
        print(_line(example))


@command.command("rm")
@dataset_argument()
@pass_settings
def remove(settings: Settings, name: str) -> None:
    """Remove NAME with all its versions, or NAME/versions/N alone."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        if "/versions/" in name:
            client.delete_dataset_version(name)
        else:
            client.delete_dataset(name)
    if settings.json:
        print_json({"removed": name})
    else:
        print(f"removed {name}")


def print_made(settings: Settings, version: "DatasetVersion") -> None:
    """Say what a recipe made."""
    from llmos_client.cli.output import print_json

    if settings.json:
        print_json({"version": version})
        return
    print(f"made {_summary(version)}")
    if version.report is not None:
        print(_report(version.report))


def _summary(version: "DatasetVersion") -> str:
    from llmos_client.cli.output import human_bytes

    size = human_bytes(version.byte_size)
    return f"{version.name}: {version.row_count:,} rows of {version.kind}, {size}"


def _line(example: "Example") -> str:
    import json

    text = json.dumps(example.content, ensure_ascii=False)
    shown = text if len(text) <= _WIDEST else f"{text[:_WIDEST]}…"
    return f"{example.row}  {example.split}  {shown}"


def _print_version(version: "DatasetVersion") -> None:
    from llmos_client.cli.output import human_bytes, print_fields

    created, report = version.create_time, version.report
    splits = (
        f"{version.train_rows:,} train, {version.validation_rows:,} validation, "
        f"{version.test_rows:,} test"
    )
    fields = [
        ("name", version.name),
        ("kind", str(version.kind)),
        ("rows", f"{version.row_count:,} ({splits})"),
        ("size", human_bytes(version.byte_size)),
        ("license", version.license or "not stated"),
        ("source", version.source),
        ("made of", version.lineage.get("source", "")),
        ("digest", version.digest),
        ("created", created.isoformat(timespec="seconds") if created else ""),
    ]
    if version.recipe is not None and report is not None:
        steps = [f"{step}={_value(value)}" for step, value in version.recipe.items() if value]
        fields.append(("recipe", ", ".join(steps)))
        fields.append(("report", _report(report)))
    print_fields(fields)


def _value(value: object) -> str:
    return "+".join(value) if isinstance(value, tuple) else str(value).lower()


def _report(report: Any) -> str:
    counts = [
        f"{name.replace('_', ' ')}: {getattr(report, name):,}"
        for name in ("rows_emptied", "duplicates", "near_duplicates", "rows_added")
        if getattr(report, name)
    ]
    found = sorted(report.personal_data.items())
    replaced = ", ".join(f"{kind} {count:,}" for kind, count in found)
    if replaced:
        counts.append(f"replaced: {replaced}")
    return "; ".join([f"{report.rows_read:,} rows read, {report.rows_written:,} written", *counts])
