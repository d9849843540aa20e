"""llmos train: a dataset in, a version of a model out."""

from typing import Any

import click

from llmos_client.cli.completion import complete_dataset, complete_model
from llmos_client.cli.options import Command, Settings, pass_settings

_OBJECTIVES = (
    "language_model",
    "masked_language_model",
    "classify",
    "regress",
    "sft",
    "dpo",
    "kto",
    "distill",
    "seqgan",
    "vae",
)


def read_settings(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Read NAME=VALUE, repeated."""
    settings = {}
    for value in values:
        name, mark, text = value.partition("=")
        if not mark or not name:
            raise click.BadParameter(f"{value}: as NAME=VALUE", ctx, param)
        settings[name.strip()] = text.strip()
    return settings


@click.command("train", cls=Command)
@click.argument("model")
@click.option("--dataset", shell_complete=complete_dataset, help="What to train on.")
@click.option("--from", "base", shell_complete=complete_model, help="A version to start from.")
@click.option(
    "--family", help="A network from scratch: llama, lstm, encoder, ... as docs/training.md lists."
)
@click.option("--objective", type=click.Choice(_OBJECTIVES), help="By default, the dataset's.")
@click.option("--lora", is_flag=True, help="Train a small adapter beside frozen weights.")
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    callback=read_settings,
    help="A setting, as steps=500 or optimizer.learning_rate=1e-3; --settings lists them.",
)
@click.option(
    "--sweep",
    "axes",
    multiple=True,
    metavar="NAME=VALUE,...",
    callback=read_settings,
    help="Train with each value, and keep the best; several: every combination.",
)
@click.option("--metric", default="", metavar="NAME", help="Of a sweep; loss by default.")
@click.option("--maximize", is_flag=True, help="The largest metric is the best.")
@click.option("--validation", default="", metavar="DATASET", help="By default, the split's rows.")
@click.option("--tokenizer-from", default="", metavar="MODEL", help="By default, trained too.")
@click.option("--teacher", default="", metavar="MODEL", help="Of the objective distill.")
@click.option("--sample", "samples", multiple=True, metavar="PROMPT", help="Answered on the way.")
@click.option("--license", "license_", default="", help="SPDX identifier of the result.")
@click.option("--estimate", is_flag=True, help="Only say what it would take.")
@click.option("--detach", is_flag=True, help="Print the job's name, and do not follow it.")
@click.option("--settings", "list_settings", is_flag=True, help="List the names for --set.")
@pass_settings
def command(
    settings: Settings,
    /,
    model: str,
    dataset: str | None,
    base: str | None,
    lora: bool,
    values: dict[str, str],
    axes: dict[str, str],
    validation: str,
    samples: tuple[str, ...],
    license_: str,
    estimate: bool,
    detach: bool,
    list_settings: bool,
    **more: Any,
) -> int:
    """Train MODEL: a new version of it, or a new model.

    The job belongs to the daemon: Ctrl-C ends the watching, and llmos watch goes on with it.
    """
    from llmos_client.training_requests import setting_names

    if list_settings:
        print("\n".join(setting_names()))
        return 0
    if dataset is None:
        raise click.UsageError("--dataset says what to train on; llmos dataset list shows them")
    if (base is None) == (more["family"] is None):
        raise click.UsageError("either --from MODEL, or --family for a network from scratch")
    options: dict[str, Any] = {
        "objective": more["objective"],
        "method": "lora" if lora else None,
        "family": more["family"] or "",
        "init_from": base or "",
        "validation_dataset": validation,
        "tokenizer_from": more["tokenizer_from"],
        "teacher": more["teacher"],
        "samples": samples,
        "license": license_,
        "settings": values,
    }
    if axes:
        sweep = {name: [each.strip() for each in text.split(",")] for name, text in axes.items()}
        how = {"metric": more["metric"], "maximize": more["maximize"]}
        return _sweep(settings, model, dataset, sweep, {**options, **how}, detach=detach)
    return _run(settings, model, dataset, options, estimate=estimate, detach=detach)


def _sweep(
    settings: Settings,
    model: str,
    dataset: str,
    axes: dict[str, list[str]],
    options: dict[str, Any],
    *,
    detach: bool,
) -> int:
    from llmos_client.cli.job_view import follow
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        operation = client.sweep_training(model, dataset, axes, **options)
        if detach:
            job = operation.name.removeprefix("operations/")
            print_json({"job": operation}) if settings.json else print(job)
            return 0
        return follow(client, operation.name, settings)


def _run(
    settings: Settings,
    model: str,
    dataset: str,
    options: dict[str, Any],
    *,
    estimate: bool,
    detach: bool,
) -> int:
    from llmos_client.cli.job_view import follow, print_estimate
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        if estimate:
            print_estimate(client.estimate_training(model, dataset, **options), settings)
            return 0
        operation = client.train_model(model, dataset, **options)
        job = operation.name.removeprefix("operations/")
        if detach:
            print_json({"job": operation}) if settings.json else print(job)
            return 0
        return follow(client, operation.name, settings)
