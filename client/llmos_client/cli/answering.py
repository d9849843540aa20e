"""What `run` and `chat` share: a model made ready, and the line that tells how it went."""

from llmos_client.cli.progress import open_progress
from llmos_client.client import Client
from llmos_client.generations import Timings, Usage
from llmos_client.results import ModelVersion


def ensure_loaded(client: Client, model: str, *, quiet: bool) -> ModelVersion:
    """Load the model unless it is loaded already; progress is shown only where it takes time."""
    operation = client.load_model(model, wait=False)
    if operation.done:
        return operation.result().version
    with open_progress(quiet=quiet, transient=True) as progress:
        return client.wait_operation(operation, progress).result().version


def statistics(
    usage: Usage, timings: Timings, finish: str, model_version: str, choices: int = 1
) -> str:
    """Write the line of --verbose."""
    # The first token of each answer comes from the prefill.
    decoded = max(0, usage.completion_tokens - choices)
    rate = f"{decoded / timings.decode:.1f} tok/s" if timings.decode else "- tok/s"
    parts = [
        f"ttft {timings.time_to_first_token * 1000:.0f} ms",
        rate,
        f"{usage.completion_tokens} tokens",
        f"finish {finish}",
        model_version,
    ]
    return " · ".join(parts)
