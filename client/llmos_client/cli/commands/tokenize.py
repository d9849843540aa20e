"""llmos tokenize: a text as its model sees it."""

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings


@click.command("tokenize", cls=Command)
@model_argument()
@click.argument("text")
@click.option("--ids", is_flag=True, help="Only the ids, on one line.")
@click.option("--add-special", is_flag=True, help="Add what the tokenizer adds to a prompt.")
@click.option("--parse-special", is_flag=True, help="Read control tokens in the text as such.")
@pass_settings
def command(settings: Settings, /, model: str, text: str, ids: bool, **special: bool) -> None:
    """Cut a text into tokens; the model need not be loaded."""
    from llmos_client.cli.output import print_json, print_table

    with settings.client() as client:
        tokens = client.tokenize(model, text, **special)
    if settings.json:
        print_json({"count": len(tokens), "tokens": tokens})
    elif ids:
        print(" ".join(str(token.id) for token in tokens))
    else:
        rows = [(str(t.id), "special" if t.special else "", repr(t.bytes)[2:-1]) for t in tokens]
        print_table(("ID", "KIND", "BYTES"), rows)
