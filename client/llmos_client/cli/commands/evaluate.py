"""llmos evaluate: how good a version is, on datasets and suites."""

from typing import Any

import click

from llmos_client.cli.completion import complete_dataset, complete_model
from llmos_client.cli.options import Command, Settings, pass_settings
from llmos_client.cli.sampling import given, sampling_options

_TASKS = ("score", "answer", "classify", "regress", "choose", "prefer", "check")


@click.command("evaluate", cls=Command)
@click.argument("model", required=False, shell_complete=complete_model)
@click.option(
    "--on",
    "data",
    multiple=True,
    metavar="DATASET|suites/ID",
    shell_complete=complete_dataset,
    help="What to ask; repeatable. llmos evaluations suites lists what comes along.",
)
@click.option("--noise", type=float, metavar="P", help="Ask all again with typing errors.")
@click.option("--answers", metavar="DATASET", help="Judge these answers instead of a model's.")
@click.option("--task", type=click.Choice(_TASKS), help="By default, what the data suggests.")
@click.option("--metric", "metrics", multiple=True, help="Of answers, as bleu; repeatable.")
@click.option("--split", type=click.Choice(["train", "validation", "test"]), help="Of the data.")
@click.option("--examples", type=click.IntRange(1), metavar="N", help="Of each part at most.")
@click.option("--window", type=click.IntRange(2), metavar="N", help="Tokens of a piece of text.")
@click.option("--characters", is_flag=True, help="Compare Chinese answers by characters.")
@click.option("--system", default="", metavar="TEXT", help="The system message.")
@click.option("--question", default="", metavar="TEXT", help="Asks for labels: {text} and more.")
@click.option("--concurrency", type=int, help="Examples asked at once; 32 by default.")
@sampling_options
@click.option("--detach", is_flag=True, help="Print the job's name, and do not follow it.")
@pass_settings
def command(
    settings: Settings,
    /,
    model: str | None,
    data: tuple[str, ...],
    noise: float | None,
    answers: str | None,
    examples: int | None,
    concurrency: int | None,
    detach: bool,
    **more: Any,
) -> int:
    """Evaluate MODEL, and keep the figures and every answer.

    The job belongs to the daemon: Ctrl-C ends the watching, and llmos watch goes on with it.
    """
    from llmos_client.cli.job_view import follow
    from llmos_client.cli.output import print_json

    if not data:
        raise click.UsageError("--on says what to ask; llmos evaluations suites lists some")
    if (model is None) == (answers is None):
        raise click.UsageError("either a MODEL, or --answers DATASET")
    names = ("task", "metrics", "split", "window", "characters", "system", "question")
    part: Any = {name: more.pop(name) for name in names}
    part["sampling"] = given(more)
    parts: list[Any] = [{**part, "dataset": name} for name in data]
    if noise:
        parts += [{**each, "noise": noise, "name": f"{each['dataset']} noisy"} for each in parts]
    with settings.client() as client:
        operation = client.evaluate_model(
            model,
            parts,
            answers=answers,
            max_examples=examples,
            seed=more.get("seed"),
            concurrency=concurrency,
        )
        if detach:
            job = operation.name.removeprefix("operations/")
            print_json({"job": operation}) if settings.json else print(job)
            return 0
        return follow(client, operation.name, settings)
