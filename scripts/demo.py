"""`make demo`: a daemon, the default model, an answer, a training, and what came of it, made live.

Exit status 0 only if every stage met its check. State lives in a temporary folder; the verified
model file and the compiled kernels stay in the user's cache, so a second run needs no network.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from llmos_client import Client, Completed, Delta, Finished, OnProgress, OperationProgress

BIN = Path(sys.executable).parent
MODEL = "smollm2"
QUESTION = "What is the capital of France?"
STAGES = 10
CONVERSATIONS = Path(__file__).with_name("demo_conversations.jsonl")
TRAINED = f"{MODEL}@candidate"
ABOUT_US = "What is llmos?"
# Two processors take about a minute.
TRAINING = {
    "epochs": 5,
    "batch_size": 8,
    "sequence_length": 128,
    "optimizer.learning_rate": 3e-3,
    "schedule.warmup_steps": 3,
    "lora.targets": "q_proj,v_proj,o_proj,down_proj",
    "checkpoint_every": 1000,
    "log_every": 5,
}


def main() -> None:
    """Run the stages in order."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llmos-demo-") as folder:
        say(1, "environment", f"{BIN.parent.name}, torch {version('torch')}, {os.cpu_count()} CPUs")
        address = f"unix:{folder}/llmosd.sock"
        with daemon(Path(folder), address) as pid:
            say(2, "daemon", f"serving on {address} (pid {pid})")
            pull(address)
            with Client(address) as client:
                load(client)
                chat(client)
                train(client)
                chat_about_us(client)
                evaluate(client)
                optimize(client)
                promote(client)
    print(f"demo ok in {time.monotonic() - began:.0f} s")
    print(f"Next: {BIN}/llmos serve   and, in another terminal:   {BIN}/llmos pull {MODEL}")
    print(f"      {BIN}/llmos chat {MODEL}")


@contextmanager
def daemon(folder: Path, address: str) -> Iterator[int]:
    """A daemon of our own, stopped at the end."""
    log = folder / "llmosd.log"
    command = [str(BIN / "llmosd"), "--state-dir", str(folder), "--listen", address]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        with Client(address) as client:
            wait_until_serving(client, process, log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    check(process.returncode == 0, f"the daemon stopped with status {process.returncode}")


def wait_until_serving(client: Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return once health says SERVING."""
    for _ in range(300):
        check(process.poll() is None, f"the daemon ended:\n{log.read_text()}")
        try:
            if client.health() == "serving":
                return
        except Exception:  # noqa: BLE001, S110 - not bound yet
            pass
        time.sleep(0.1)
    check(condition=False, text="the daemon did not answer within 30 s")


def pull(address: str) -> None:
    """Fetch by hash, or take the verified file from the cache; import."""
    command = [str(BIN / "llmos"), "--address", address, "pull", MODEL]
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}  # in the order of printing
    done = subprocess.run(command, check=False, text=True, **both)
    check(done.returncode == 0, done.stdout)
    for line in done.stdout.splitlines():
        if line.startswith(("SmolLM2", "verified", "found", "installed")):
            say(3, "model", line)


def load(client: Client) -> None:
    """Load, saying how far it is: the first time compiles the kernels."""
    began = time.monotonic()
    client.load_model(MODEL, on_progress=told_once(4, "load"))
    say(4, "load", f"ready in {time.monotonic() - began:.1f} s")


def chat(client: Client) -> None:
    """Ask, stream, check."""
    text = ask(client, 5, MODEL, QUESTION)
    check("Paris" in text, "the answer does not say Paris")


def train(client: Client) -> None:
    """Teach the model what llmos is: an adapter, trained on a few conversations."""
    began = time.monotonic()
    uploading = client.upload_dataset("about-llmos", [CONVERSATIONS], kind="chat")
    rows = client.wait_operation(uploading).result().row_count
    client.unload_model(MODEL)
    job = client.train_model(
        MODEL, "about-llmos", init_from=MODEL, method="lora", settings=TRAINING
    )
    say(6, "train", f"{rows} conversations, LoRA, {job.name}")
    losses = []
    for event in client.watch_operation(job.name):
        if event.metrics is not None:
            values = event.metrics.values
            losses.append(values["loss"])
            speed = f"{values['tokens_per_second']:.0f} tokens/s"
            say(6, "train", f"step {event.metrics.step}: loss {values['loss']:.3f}, {speed}")
        elif event.done is not None:
            trained = event.done.result()
    check(losses[-1] < losses[0] / 2, "the loss has not fallen by half")
    seconds = time.monotonic() - began
    say(6, "train", f"made {trained.version.name} ({TRAINED}) in {seconds:.0f} s")


def chat_about_us(client: Client) -> None:
    """The trained version knows what the model it was made of does not."""
    client.load_model(TRAINED)
    text = ask(client, 7, TRAINED, ABOUT_US)
    check("operating system for language models" in text, "it does not know what llmos is")


def evaluate(client: Client) -> None:
    """Before and after: what it learned, and whether it forgot anything."""
    about = {"dataset": "about-llmos", "metrics": ["f1"], "sampling": {"max_tokens": 48}}
    figures = []
    for name in (MODEL, TRAINED):
        job = client.evaluate_model(name, [about, "suites/anchors"], max_examples=12)
        made = client.wait_operation(job).result()
        figures.append((made.results[0]["f1"], made.results[1]["perplexity"]))
    (before, knew), (after, knows) = figures
    say(8, "evaluate", f"answers about llmos: F1 {before:.2f} before, {after:.2f} after")
    say(8, "evaluate", f"perplexity of what it knew before: {knew:.1f}, now {knows:.1f}")
    check(after > 2 * before, "it does not answer better")


def optimize(client: Client) -> None:
    """The adapter becomes part of the weights, and these become eight bits each."""
    client.unload_model(TRAINED)
    client.unload_model(MODEL)
    merged = client.wait_operation(client.merge_adapter(TRAINED)).result().version
    say(9, "optimize", f"merged: {merged.name}, {merged.byte_size / 1e6:.0f} MB")
    job = client.quantize_model(
        merged.name, "int8", evaluate_on=["suites/anchors"], max_metric_regression=0.05
    )
    made = client.wait_operation(job, on_progress=told_once(9, "optimize")).result()
    check(made.before is not None and made.after is not None, "it was not judged")
    was, now = (each.results[0]["perplexity"] for each in (made.before, made.after))
    size = made.version.byte_size / 1e6
    say(
        9,
        "optimize",
        f"int8: {made.version.name}, {size:.0f} MB, perplexity {was:.1f} to {now:.1f}",
    )
    check(size < 0.3 * merged.byte_size / 1e6, "it is not smaller")


def promote(client: Client) -> None:
    """The result is what everybody gets who asks for the model by its name."""
    moved = client.promote(TRAINED).result()
    say(10, "promote", f"{MODEL} is {moved.version.name} now")
    text = ask(client, 10, MODEL, ABOUT_US)
    check("operating system for language models" in text, "the live version does not know llmos")


def ask(client: Client, stage: int, model: str, question: str) -> str:
    """One question, its answer as it comes, and how fast it came."""
    say(stage, "chat", f"> {question}")
    text, reason = "", ""
    messages = [{"role": "user", "content": question}]
    with client.stream(model, messages=messages, temperature=0.0, max_tokens=64) as events:
        for event in events:
            if isinstance(event, Delta):
                print(event.text, end="", flush=True)
                text += event.text
            elif isinstance(event, Finished):
                reason = event.finish_reason
            elif isinstance(event, Completed):
                done = event
    tokens, timings = done.usage.completion_tokens, done.timings
    rate = (tokens - 1) / timings.decode if tokens > 1 and timings.decode else 0.0
    ttft = timings.time_to_first_token * 1000
    print(f"\n      TTFT {ttft:.0f} ms · {rate:.1f} tok/s · {tokens} tokens · finish={reason}")
    return text


def told_once(number: int, name: str) -> OnProgress:
    """Say each stage of an operation when it begins."""
    last = ""

    def report(at: OperationProgress) -> None:
        nonlocal last
        if at.stage != last:
            last = at.stage
            compiles = last == "warm-up" or last.endswith("after: load")
            note = " (compiles the kernels the first time: up to a minute)" if compiles else ""
            say(number, name, last + note)

    return report


def say(stage: int, name: str, text: str) -> None:
    """One line."""
    print(f"[{stage}/{STAGES}] {name:12} {text}", flush=True)


def check(condition: bool, text: str) -> None:  # noqa: FBT001
    """Exit 1 with a reason unless `condition`."""
    if not condition:
        sys.exit(f"demo failed: {text}")


if __name__ == "__main__":
    main()
