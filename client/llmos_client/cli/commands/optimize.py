"""llmos optimize: a version made smaller, faster, or out of several."""

from typing import Any

import click

from llmos_client.cli.completion import complete_dataset, complete_model
from llmos_client.cli.options import Command, Settings, model_argument, pass_settings
from llmos_client.cli.quantities import read_share


@click.command("optimize", cls=Command)
@model_argument()
@click.option("--quantize", type=click.Choice(["int8", "int4"]), help="Fewer bits per weight.")
@click.option("--sparsity", callback=read_share, metavar="SHARE", help="Weights that become zero.")
@click.option("--neurons", callback=read_share, metavar="SHARE", help="Inner neurons that go.")
@click.option("--merge", is_flag=True, help="An adapter and its base become one version.")
@click.option(
    "--average",
    "others",
    multiple=True,
    metavar="MODEL",
    shell_complete=complete_model,
    help="The mean with this version; repeatable.",
)
@click.option(
    "--calibrate",
    "calibration",
    default="",
    metavar="DATASET",
    shell_complete=complete_dataset,
    help="Whose texts say what weights are multiplied with.",
)
@click.option("--to", "target", default="", metavar="ID", help="By default, the same model.")
@click.option(
    "--on",
    "evaluate_on",
    multiple=True,
    metavar="DATASET|suites/ID",
    shell_complete=complete_dataset,
    help="Judge both on it; repeatable.",
)
@click.option("--examples", "max_examples", type=click.IntRange(1), metavar="N", help="Of each.")
@click.option(
    "--max-regression",
    "max_metric_regression",
    callback=read_share,
    metavar="SHARE",
    help="Keep nothing that is worse by more, as 2%.",
)
@click.option("--detach", is_flag=True, help="Print the job's name, and do not follow it.")
@pass_settings
def command(
    settings: Settings,
    /,
    model: str,
    quantize: str | None,
    sparsity: float | None,
    neurons: float | None,
    merge: bool,
    others: tuple[str, ...],
    target: str,
    detach: bool,
    **options: Any,
) -> int:
    """Make a version out of MODEL: quantized, pruned, merged or averaged.

    The result is the model's candidate, as models/ID@candidate.
    """
    from llmos_client.cli.job_view import follow
    from llmos_client.cli.output import print_json

    pruning = bool(sparsity or neurons)
    if sum((quantize is not None, pruning, merge, bool(others))) != 1:
        raise click.UsageError(
            "say one of --quantize, --sparsity (and --neurons), --merge and --average"
        )
    options["output"] = target
    with settings.client() as client:
        if quantize is not None:
            operation = client.quantize_model(model, quantize, **options)
        elif merge:
            operation = client.merge_adapter(model, **options)
        elif others:
            operation = client.average_models(model, others, **options)
        else:
            operation = client.prune_model(
                model, sparsity=sparsity or 0.0, neurons=neurons or 0.0, **options
            )
        if detach:
            job = operation.name.removeprefix("operations/")
            print_json({"job": operation}) if settings.json else print(job)
            return 0
        return follow(client, operation.name, settings)
