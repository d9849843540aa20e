"""llmos run: one prompt, one answer."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings
from llmos_client.cli.sampling import form_options, given, sampling_options

if TYPE_CHECKING:
    from llmos_client.client import Client
    from llmos_client.generations import Generation


@dataclass(frozen=True)
class _Question:
    model: str
    options: dict[str, Any]


@click.command("run", cls=Command)
@model_argument()
@click.argument("prompt", nargs=-1)
@click.option(
    "--raw",
    is_flag=True,
    help="Go on with the prompt as it stands, without the chat template.",
)
@click.option("--system", metavar="TEXT", help="The system message.")
@sampling_options
@form_options
@click.option("--n", type=int, help="Answers to draw.")
@click.option("--logprobs", type=int, help="Show log-probabilities and this many alternatives.")
@click.option("--priority", type=click.Choice(["low", "normal", "high"]), help="Its class of work.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give up then; refused at once where it cannot begin by then.",
)
@click.option("--stream", is_flag=True, help="With -o json: one event per line, as they come.")
@click.option("-v", "--verbose", is_flag=True, help="Tell speed and finish reason on stderr.")
@pass_settings
def command(settings: Settings, /, model: str, prompt: tuple[str, ...], **flags: Any) -> None:
    """Answer one prompt.

    Without PROMPT what is piped in is the prompt; - stands for it within one. The model is loaded
    if it is not.
    """
    from llmos_client.cli.answering import ensure_loaded

    stream, verbose = flags.pop("stream"), flags.pop("verbose")
    forms = given({name: flags[name] for name in ("json_schema", "regex", "grammar", "choices")})
    if len(forms) > 1:
        raise click.UsageError("give one of --json-schema, --regex, --grammar and --choice")
    system, raw, text = flags.pop("system"), flags.pop("raw"), _prompt_text(prompt)
    with settings.client() as client:
        version = ensure_loaded(client, model, quiet=settings.json)
        # A model without a template can only go on with a text.
        asked = _input(text, system, raw=raw or not version.chat)
        question = _Question(model, {**asked, **given(flags)})
        if settings.json and stream:
            _print_events(client, question)
        elif settings.json:
            _print_object(client, question)
        elif flags["n"] or flags["logprobs"] is not None:
            _print_whole(client, question, verbose=verbose)
        else:
            _print_as_it_comes(client, question, verbose=verbose)


def _input(text: str, system: str | None, *, raw: bool) -> dict[str, Any]:
    if raw and system:
        raise click.UsageError("--system needs a model with a chat template, and no --raw")
    if raw:
        return {"prompt": text}
    turns = [{"role": "system", "content": system}] if system else []
    return {"messages": [*turns, {"role": "user", "content": text}]}


def _prompt_text(prompt: tuple[str, ...]) -> str:
    # A prompt that is given is the whole prompt: reading a pipe that somebody left open would hang.
    if not prompt and not sys.stdin.isatty():
        prompt = ("-",)
    text = " ".join(sys.stdin.read() if word == "-" else word for word in prompt)
    if not text:
        raise click.UsageError("give a PROMPT, pipe one in, or use: llmos chat MODEL")
    return text


def _print_as_it_comes(client: "Client", question: _Question, *, verbose: bool) -> None:
    from llmos_client.cli.answering import statistics
    from llmos_client.cli.output import note
    from llmos_client.generations import Completed, Delta, Finished, Started

    version = finish = ""
    with client.stream(question.model, **question.options) as events:
        for event in events:
            if isinstance(event, Delta):
                sys.stdout.write(event.text)
                sys.stdout.flush()
            elif isinstance(event, Started):
                version = event.model_version
            elif isinstance(event, Finished):
                finish = event.finish_reason
            elif isinstance(event, Completed):
                print()
                if verbose:
                    note(statistics(event.usage, event.timings, finish, version))


def _print_whole(client: "Client", question: _Question, *, verbose: bool) -> None:
    from llmos_client.cli.answering import statistics
    from llmos_client.cli.output import note

    answer = client.generate(question.model, **question.options)
    for choice in answer.choices:
        if len(answer.choices) > 1:
            print(f"[{choice.index}] ", end="")
        print(choice.text)
        for token in choice.tokens:
            others = "  ".join(f"{_show(t.bytes)} {t.logprob:.3f}" for t in token.top)
            logprob = f"{token.logprob:.3f}" if token.logprob is not None else "-"
            print(f"    {_show(token.bytes)}  {logprob}  | {others}")
    if verbose:
        finish = ",".join(choice.finish_reason for choice in answer.choices)
        version, count = answer.model_version, len(answer.choices)
        note(statistics(answer.usage, answer.timings, finish, version, count))


def _print_object(client: "Client", question: _Question) -> None:
    from llmos_client.cli.output import print_json

    answer: Generation = client.generate(question.model, **question.options)
    print_json({"model": question.model, "text": answer.text, "generation": answer})


def _print_events(client: "Client", question: _Question) -> None:
    from llmos_client.cli.output import print_json_line, to_plain

    with client.stream(question.model, **question.options) as events:
        for event in events:
            print_json_line({"event": type(event).__name__.lower(), **to_plain(event)})


def _show(data: bytes) -> str:
    return repr(data)[2:-1]
