"""Answers beside a training job, and it beside them: `python -m benchmarks.beside_training`.

Expected, written before the first measurement: the time between two tokens at the 95th percentile
at most 1.5 times that of a machine with no job, and the job at least at 20 % of its speed alone. A
job sleeps for three quarters of the time while models answer, and has a lower priority; so a fifth
to a quarter of its speed is what is left to it, and tokens wait for it in a quarter of the time.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.peers.llmos import private_daemon
from llmos_client import Delta

PROMPT = "Tell me a long story about a lighthouse keeper and the sea."
ROWS = 400


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, private_daemon() as (_, client):
        report = measure(client, Path(folder), arguments)
    print(json.dumps(report, indent=1))


def measure(client, folder, arguments):
    data = folder / "talk.jsonl"
    rows = ({"prompt": f"Say {n}", "completion": f"{n}, {n} and {n}. " * 6} for n in range(ROWS))
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    client.wait_operation(client.upload_dataset("talk", [data], kind="pairs")).result()
    client.load_model("smollm2", dtype=arguments.dtype).result()
    answer(client, 5.0)
    alone = answer(client, arguments.seconds)
    settings = {
        "steps": 100_000, "batch_size": 1, "sequence_length": 128, "log_every": 1,
        "checkpoint_every": 100_000,
    }  # fmt: skip
    job = client.train_model(
        "smollm2", "talk", init_from="smollm2", method="lora", settings=settings
    ).name
    while trained(client, job)[0] < 3:
        time.sleep(0.5)
    quiet = speed(client, job, lambda: time.sleep(arguments.seconds))
    gaps = []
    beside = speed(client, job, lambda: gaps.extend(answer(client, arguments.seconds)))
    client.cancel_operation(job)
    return {
        "dtype": arguments.dtype,
        "alone_ms": figures(alone),
        "beside_a_job_ms": figures(gaps),
        "p95_ratio": round(percentile(gaps, 95) / percentile(alone, 95), 2),
        "tokens_per_second_ratio": round(statistics.mean(alone) / statistics.mean(gaps), 2),
        "job_tokens_per_second": {"alone": round(quiet, 1), "beside": round(beside, 1)},
        "job_ratio": round(beside / quiet, 2),
    }


def answer(client, seconds):
    """Milliseconds between tokens of answers, one after another, for so long."""
    gaps = []
    end = time.monotonic() + seconds
    messages = [{"role": "user", "content": PROMPT}]
    while time.monotonic() < end:
        last = None
        with client.stream(
            "smollm2", messages=messages, max_tokens=128, ignore_eos=True, return_tokens=True
        ) as events:
            for event in events:
                if isinstance(event, Delta):
                    now = time.perf_counter()
                    if last is not None:
                        gaps += [1000 * (now - last) / len(event.tokens)] * len(event.tokens)
                    last = now
    return gaps


def trained(client, job):
    """Steps done, and tokens learned from."""
    metrics = client.get_operation(job).metrics
    return (metrics.step, metrics.values["tokens"]) if metrics else (0, 0)


def speed(client, job, during):
    """Tokens the job learns from per second while `during` runs."""
    before, began = trained(client, job)[1], time.monotonic()
    during()
    return (trained(client, job)[1] - before) / (time.monotonic() - began)


def figures(gaps):
    return {f"p{at}": round(percentile(gaps, at), 2) for at in (50, 95, 99)}


def percentile(values, at):
    return statistics.quantiles(values, n=100, method="inclusive")[at - 1]


if __name__ == "__main__":
    main()
