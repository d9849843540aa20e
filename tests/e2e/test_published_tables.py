"""Tables that others printed, by EvaluateModel over the answers they published.

With LLMOS_TABLES=1 all of them, a few minutes; else GSM8K's.
"""

import json
import os

import pytest

from daemon import DaemonProcess

ALL = bool(os.environ.get("LLMOS_TABLES"))
slow = pytest.mark.skipif(not ALL, reason="a minute each: LLMOS_TABLES=1")

# Cobbe et al., 2021: openai/grade-school-math 3101c7d507, the flags that came with the solutions.
GSM8K = {
    "6b_finetuning": 286, "6b_verification": 515,
    "175b_finetuning": 458, "175b_verification": 742,
}  # fmt: skip
# geek-ai/Texygen 3104e22ac7: BLEU-2 to 5 by the test captions, and Self-BLEU-2 to 5.
TEXYGEN = {
    "mle": (0.731, 0.497, 0.305, 0.189, 0.916, 0.769, 0.583, 0.408),
    "seq": (0.745, 0.498, 0.294, 0.180, 0.950, 0.840, 0.670, 0.489),
    "leakgan": (0.746, 0.528, 0.355, 0.230, 0.966, 0.913, 0.848, 0.780),
    "textgan": (0.593, 0.463, 0.277, 0.207, 0.942, 0.931, 0.804, 0.746),
}
# EdinburghNLP/XSum 7b95485c3e, by Perl's ROUGE 1.5.5.
XSUM = {
    "ptgen": (29.70, 9.21, 23.24), "topic-convs2s": (31.89, 11.54, 25.75),
    "convs2s": (31.27, 11.07, 25.23), "lead": (16.30, 1.60, 11.95),
    "ext-oracle": (29.79, 8.81, 22.66),
}  # fmt: skip


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    made = DaemonProcess(tmp_path_factory.mktemp("tables") / "daemon")
    yield made
    made.stop()


def judge(daemon, answers, part):
    with daemon.client() as client:
        job = client.evaluate_model(None, [part], answers=answers)
        return client.wait_operation(job).result()


def test_gsm8k(daemon, shared_data):
    """5,276 solutions: as many right as the flags say, and the same ones."""
    lines = shared_data("gsm8k.model_solutions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    questions = [{"prompt": r["question"], "completion": r["ground_truth"]} for r in rows]
    daemon.add("gsm8k", questions, "pairs")
    for system, right in GSM8K.items():
        # An answer that is not there is a row all the same, and wrong.
        said = [r[system]["solution"].replace("\0", "") for r in rows]
        given = [{"prompt": r["question"], "completion": text.strip() or "-"}
                 for r, text in zip(rows, said, strict=True)]  # fmt: skip
        daemon.add(system.replace("_", "-"), given, "pairs")
        part = {"dataset": "gsm8k", "metrics": ["final_number"]}
        made = judge(daemon, system.replace("_", "-"), part)
        assert made.results[0]["final_number"] == right / 1319
        with daemon.client() as client:
            examples = client.list_evaluation_examples(made.id, limit=None)
        flags = [bool(example.metrics["final_number"]) for example in examples]
        assert flags == [r[system]["is_correct"] for r in rows]


@slow
@pytest.mark.parametrize("system", TEXYGEN)
def test_texygen(daemon, shared_data, system):
    """BLEU by 10,000 captions and Self-BLEU of 9,984 samples: within 0.002."""

    def texts(name):
        lines = shared_data(f"texygen.{name}.txt").read_text().splitlines()
        return [{"text": line} for line in lines if line.strip()]  # four of textgan's are empty

    daemon.add("captions", texts("coco.test"), "text")
    daemon.add(system, texts(system), "text")
    part = {"dataset": "captions", "metrics": ["texygen_bleu", "self_bleu"]}
    result = judge(daemon, system, part).results[0]
    found = [result[f"{name}_{n}"] for name in ("texygen_bleu", "self_bleu") for n in range(2, 6)]
    print(system, [round(value, 4) for value in found])
    assert found == pytest.approx(TEXYGEN[system], abs=0.002)


@slow
@pytest.mark.parametrize("system", XSUM)
def test_xsum(daemon, xsum, system):
    """11,334 summaries: ROUGE within half a point."""
    gold = (xsum / "gold-test-sentences.txt").read_text().splitlines()
    said = (xsum / f"{system}-test-output.txt").read_text().splitlines()
    pairs = [{"prompt": str(at), "completion": text} for at, text in enumerate(gold)]
    given = [{"prompt": str(at), "completion": t.strip() or "-"} for at, t in enumerate(said)]
    daemon.add("gold", pairs, "pairs")
    daemon.add(system, given, "pairs")
    result = judge(daemon, system, {"dataset": "gold", "metrics": ["rouge"]}).results[0]
    found = [100 * result[name] for name in ("rouge1", "rouge2", "rougeL")]
    print(system, [round(value, 2) for value in found])
    assert found == pytest.approx(XSUM[system], abs=0.5)
