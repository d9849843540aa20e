"""Real text: Debian's package descriptions, translated into German, and summarized.

Long: `make acceptance` sets LLMOS_DEBIAN=1. An encoder-decoder from nothing translates, an adapter to
SmolLM2 summarizes; both are trained by the job, reported in its card, and answer through Generate.
What they must beat costs nothing: copying, a table of words, the text's first sentence.
"""

import json
import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest

import debian
from daemon import DaemonProcess
from llmosd.metrics.metric import Settings
from llmosd.metrics.registry import METRICS

pytestmark = pytest.mark.skipif(
    "LLMOS_DEBIAN" not in os.environ, reason="an hour of training: LLMOS_DEBIAN=1"
)
TRANSLATION = {
    "vocabulary_size": 4000,
    "shape.num_layers": 2,
    "shape.encoder_layers": 3,
    "shape.hidden_size": 128,
    "batch_size": 64,
    "packing": False,
    "dropout": 0.1,
    "label_smoothing": 0.1,
    "optimizer.learning_rate": 2e-3,
    "schedule.name": "cosine",
    "schedule.warmup_steps": 200,
    "checkpoint_every": 500,
    "answer_rows": 200,
    "sequence_length": 96,
    "steps": 2000,
}
SUMMARY = {
    "epochs": 1,
    "sequence_length": 512,
    "optimizer.learning_rate": 1e-3,
    "schedule.warmup_steps": 10,
    "lora.rank": 16,
    "lora.targets": "q_proj,v_proj,o_proj,down_proj",
    "answer_rows": 20,
}
ROWS, HELD_OUT = 1600, 200


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    process = DaemonProcess(tmp_path_factory.mktemp("debian"), keep_alive_seconds=-1)
    yield process
    process.stop()


def score(name, texts, pairs):
    return METRICS[name](Settings())(texts, [[target] for _, target in pairs]).values


def trained(daemon, name, train, test, asked, **options):
    """A model of the pairs, and its answers to the held-out ones: greedy, and searched."""
    with daemon.client() as client, ThreadPoolExecutor(16) as threads:
        for part, pairs in (("train", train), ("test", test)):
            file = daemon.folder / f"{name}-{part}.jsonl"
            rows = (json.dumps({"prompt": one, "completion": two}) for one, two in pairs)
            file.write_text("\n".join(rows))
            operation = client.upload_dataset(f"{name}-{part}", [file], kind="pairs")
            client.wait_operation(operation).result()
        operation = client.train_model(
            name, f"{name}-train", validation_dataset=f"{name}-test", **options
        )
        done = client.wait_operation(operation).result()
        client.load_model(name).result()
        answers = {}
        for how, search in (("greedy", {"temperature": 0.0}), ("4 beams", {"beams": 4})):
            made = [
                threads.submit(client.generate, name, max_tokens=60, **asked(one), **search)
                for one, _ in test
            ]
            answers[how] = [each.result().choices[0].text.strip() for each in made]
    return done.metrics, answers


def word_table(pairs):
    """IBM's first model (Brown et al., 1993): word for word, by expectation maximization."""
    cut = [(one.split(), two.split()) for one, two in pairs]
    chance = defaultdict(lambda: 1.0)
    for _ in range(6):
        counts, totals = Counter(), Counter()
        for one, two in cut:
            for target in two:
                norm = sum(chance[source, target] for source in one)
                for source in one:
                    share = chance[source, target] / norm
                    counts[source, target] += share
                    totals[source] += share
        chance = defaultdict(float, {k: v / totals[k[0]] for k, v in counts.items()})
    best = {}
    for (source, target), value in chance.items():
        if value > best.get(source, ("", 0.0))[1]:
            best[source] = (target, value)
    return lambda text: " ".join(best.get(word, (word,))[0] for word in text.split())


def test_translation(daemon, record_testsuite_property):
    """BLEU above copying the English, and above a table of words."""
    train, test = debian.translations()
    metrics, answers = trained(
        daemon, "german", train, test, lambda text: {"prompt": text},
        family="seq2seq", settings=TRANSLATION,
    )  # fmt: skip
    table = word_table(train)
    bleu = {how: score("bleu", texts, test)["bleu"] for how, texts in answers.items()}
    bleu["copy"] = score("bleu", [one for one, _ in test], test)["bleu"]
    bleu["word table"] = score("bleu", [table(one) for one, _ in test], test)["bleu"]
    print({name: round(value, 2) for name, value in bleu.items()}, metrics)
    record_testsuite_property("translation_bleu", str(bleu))
    assert "- bleu: " in (card(daemon, "german"))
    assert min(bleu["greedy"], bleu["4 beams"]) > max(bleu["copy"], bleu["word table"])


def test_summaries(daemon, smollm2_gguf, record_testsuite_property):
    """ROUGE-1 and ROUGE-L above the text's first sentence; ROUGE-2 is printed."""
    daemon.install("smollm2", smollm2_gguf)
    train, test = debian.summaries(longest=200)
    train, test = train[:ROWS], test[:HELD_OUT]
    metrics, answers = trained(
        daemon, "short", train, test,
        lambda text: {"messages": [{"role": "user", "content": text}]},
        init_from="smollm2", method="lora", settings=SUMMARY,
    )  # fmt: skip
    rouge = {how: score("rouge", texts, test) for how, texts in answers.items()}
    rouge["lead-1"] = score("rouge", [one.split(". ")[0] for one, _ in test], test)
    for name, values in rouge.items():
        print(name, {each: round(value, 4) for each, value in values.items()})
    print(metrics)
    record_testsuite_property("summary_rouge", str(rouge))
    assert "- rouge1: " in card(daemon, "short")
    for name in ("rouge1", "rougeL"):
        assert min(rouge[how][name] for how in answers) > rouge["lead-1"][name]


def card(daemon, name):
    """What the job wrote beside the weights."""
    (found,) = (daemon.folder / "state/models" / name).glob("*/card.md")
    return found.read_text()
