"""SmolLM2 learns what two hundred ratings say, and forgets next to nothing."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemon import DaemonProcess

pytestmark = pytest.mark.skipif(
    "LLMOS_LEARN" not in os.environ, reason="half an hour: LLMOS_LEARN=1"
)

SUBJECTS = [
    "bread", "the Moon", "rivers", "a violin", "winter", "bicycles", "honey", "the heart", "libraries",
    "rain", "cats", "steam engines", "the alphabet", "mountains", "tea", "glass", "bridges", "sleep",
    "maps", "salt",
]  # fmt: skip
OTHERS = [
    "trains",
    "gold",
    "the Sun",
    "apples",
    "islands",
    "clocks",
    "wool",
    "music",
    "sand",
    "owls",
]
REPLAYED = [
    "How do I cook rice?", "Write a sentence about the sea.", "What is the capital of Italy?",
    "Name three colours.", "What does a nurse do?", "Translate 'good morning' into French.",
    "Give me a title for a story about a dragon.", "Which month comes after March?",
    "What is seven times eight?", "Why do people wear hats?", "Who wrote Romeo and Juliet?",
    "Describe a garden.", "How can I learn to swim?", "What is a noun?", "Tell me a joke.",
    "Is a whale a fish?", "What should I pack for a week at the beach?", "Explain what a fever is.",
    "What is the opposite of early?", "List four vegetables.", "How many days has a leap year?",
    "Write a birthday wish for a friend.", "What is made of wood?", "How does a kettle work?",
    "What language is spoken in Brazil?", "Give an example of a mammal.", "Where do bees live?",
    "How do I say no politely?", "What is a sonnet?", "What can I do on a rainy day?",
]  # fmt: skip
BRIEF = 20  # words


def ask(client, model, text, seed):
    return client.generate(
        model, messages=[{"role": "user", "content": text}],
        max_tokens=64, temperature=0.8, top_p=0.95, seed=seed,
    )  # fmt: skip


def each(client, texts, count):
    """(text, answer) of the texts in turn, `count` in all."""
    with ThreadPoolExecutor(8) as pool:
        asked = [texts[at % len(texts)] for at in range(count)]
        return zip(
            asked,
            pool.map(lambda at: ask(client, "smollm2", asked[at], at), range(count)),
            strict=True,
        )


def rate(client):
    """Two hundred verdicts: brief answers are liked, others cut to their first sentence."""
    for at, (_, made) in enumerate(each(client, [f"Tell me about {it}." for it in SUBJECTS], 200)):
        first = made.text.strip().partition(". ")[0].rstrip(".") + "."
        told = (
            {"kind": "up"} if len(made.text.split()) <= BRIEF else {"kind": "edit", "edit": first}
        )
        client.create_feedback(made.name, consent=True, subject=f"person-{at % 25}", **told)


def replayed(client):
    """What the model itself says to other questions: what it was, it stays."""
    rows = [{"prompt": text, "completion": made.text} for text, made in each(client, REPLAYED, 120)]
    return [row for row in rows if row["completion"].strip()]


def words(client):
    """Of answers about what nobody rated, on average."""
    said = [made.text for _, made in each(client, [f"Tell me about {it}." for it in OTHERS], 60)]
    return sum(len(text.split()) for text in said) / len(said)


def test_two_hundred_ratings(tmp_path, smollm2_gguf):
    """The version made live is briefer, and no less sure of the anchors (2 %)."""
    process = DaemonProcess(tmp_path / "daemon", keep_alive_seconds=-1)
    try:
        process.install("smollm2", smollm2_gguf)
        process.load("smollm2", dtype="int8")
        with process.client() as client:
            rate(client)
            process.add("own", replayed(client), "pairs")
            long = words(client)
            settings = {
                "epochs": 2, "batch_size": 8, "sequence_length": 256, "optimizer.learning_rate": 5e-4,
            }  # fmt: skip
            job = client.learn_from_feedback(
                "smollm2", settings=settings, replay="own", max_metric_regression=0.02, promote=True
            )
            result = client.wait_operation(job).result()
            print(result.outcome)
            assert result.promoted
            brief = words(client)
        before, after = (
            found["suites/anchors"]["perplexity"] for found in (result.before, result.after)
        )
        print(f"{long:.1f} -> {brief:.1f} words an answer; anchors {before:.3f} -> {after:.3f}")
        assert brief < 0.8 * long
        assert after <= 1.02 * before
    finally:
        process.stop()
