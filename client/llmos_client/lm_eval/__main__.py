"""lm-evaluation-harness's own command line, with one more model: `llmos`.

    python -m llmos_client.lm_eval --model_args model=smollm2 --tasks lambada_openai --limit 100

Everything that `lm-eval` takes is taken; `--model llmos` may be left out. Arguments of the model
are those of `model.LlmosLM`.
"""

import sys
from collections.abc import Sequence

_MODEL = ("--model", "-M")


def main(arguments: Sequence[str]) -> int:
    """Run the harness; 1 where it is not installed, else as it ends."""
    try:
        from lm_eval.__main__ import cli_evaluate  # noqa: PLC0415 - the reason is told below

        from llmos_client.lm_eval import model  # noqa: F401, PLC0415 - registers itself
    except ModuleNotFoundError as error:
        print(
            f"lm-evaluation-harness cannot be used: there is no module {error.name}.\n"
            "Install it: pip install 'llmos[lm-eval]'",
            file=sys.stderr,
        )
        return 1
    sys.argv = ["llmos_client.lm_eval", *completed(arguments)]
    cli_evaluate()
    return 0


def completed(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--model llmos` where a run names no model."""
    first = next(iter(arguments), "")
    runs = first == "run" or (first.startswith("-") and first not in ("-h", "--help"))
    named = any(each.partition("=")[0] in _MODEL for each in arguments)
    return [*arguments, "--model", "llmos"] if runs and not named else list(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
