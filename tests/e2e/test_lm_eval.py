"""lm-evaluation-harness through a daemon says what its own `hf` backend says of the same weights.

It is not among the tools that `make dev` installs (300 MB): `make acceptance` has it in a place of
its own. LLMOS_BLIMP is how many pairs of each paradigm are compared on SmolLM2, LLMOS_XQUAD how many questions it
is asked before and after it was trained on others; none by default.
"""

import copy
import importlib.util
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import transformers

from daemon import DaemonProcess

DATA = Path(__file__).parents[3] / "shared" / "data"
TASKS = Path(__file__).parents[2] / "benchmarks" / "lm_eval_tasks"
COMPARE = Path(__file__).parents[1] / "lm_eval_compare.py"
LIMIT = int(os.environ.get("LLMOS_BLIMP", "0"))
QUESTIONS = int(os.environ.get("LLMOS_XQUAD", "0"))
MOST_ASKED = 289  # those about the last 13 of 48 articles
XQUAD_WORDS = {"en": ("Context", "Question", "Answer"), "zh": ("语境", "问题", "回答")}
LEARNING = {
    "epochs": 1, "batch_size": 8, "sequence_length": 1024, "checkpoint_every": 1000,
    "lora.targets": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
    "optimizer.learning_rate": 1e-3, "schedule.warmup_steps": 3,
}  # fmt: skip

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None,
    reason="lm-evaluation-harness is not installed: pip install 'llmos[lm-eval]'",
)
needs_data = pytest.mark.skipif(
    not (DATA / "BLiMP.zip").exists(), reason="../shared/data/BLiMP.zip is not there"
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_folders):
    process = DaemonProcess(tmp_path_factory.mktemp("lm-eval"), keep_alive_seconds=-1)
    process.install("tiny", tiny_folders["tiny-llama"])
    yield process
    process.stop()


def run(daemon, *command):
    environment = {
        **os.environ, "LLMOS_ADDRESS": daemon.address, "LLMOS_LM_EVAL_DATA": str(DATA),
        "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(daemon.folder / "hf"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_the_same_as_the_hf_backend(daemon, tiny_folders, tmp_path):
    """Log-likelihoods within 1e-3, the same greediness, windows, answers and templates."""
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps([["", sentence] for sentence in sentences(20)]))
    out = tmp_path / "out.json"
    run(daemon, COMPARE, tiny_folders["tiny-llama"], daemon.address, "tiny", pairs, out)
    theirs, ours = json.loads(out.read_text())
    assert ours["prefix"] == theirs["prefix"]
    assert ours["max_length"] == theirs["max_length"] == 256
    for (own, greedy), (known, expected) in zip(ours["pairs"], theirs["pairs"], strict=True):
        assert own == pytest.approx(known, abs=1e-3)
        assert greedy == expected
    assert len({round(value, 2) for value, _ in ours["pairs"]}) > 20
    assert ours["rolling"] == pytest.approx(theirs["rolling"], abs=1e-2)
    assert ours["answers"] == theirs["answers"]
    assert (ours["chat"], ours["begun"]) == (theirs["chat"], theirs["begun"])


def sentences(count):
    """Of BLiMP, where it is here; else of our own."""
    if not (DATA / "BLiMP.zip").exists():
        return [f"the man and {at} hens are in the inn" for at in range(count)]
    with zipfile.ZipFile(DATA / "BLiMP.zip") as archive:
        lines = archive.read("data/wh_questions_object_gap.jsonl").decode().splitlines()
    rows = [json.loads(line) for line in lines[: count // 2]]
    return [row[key] for row in rows for key in ("sentence_good", "sentence_bad")]


@needs_data
def test_command(daemon, tmp_path):
    """The harness's command line runs offline tasks, and leaves its report."""
    out = tmp_path / "out"
    said = run(
        daemon, "-m", "llmos_client.lm_eval", "--model_args", "model=tiny", "--tasks",
        "offline_blimp_five", "offline_gsm8k", "offline_xquad_en", "offline_xquad_zh",
        "--include_path", TASKS, "--limit", "2", "--num_fewshot", "0", "--output_path", out,
        "--gen_kwargs", "max_gen_toks=8",
    )  # fmt: skip
    assert "blimp_wh_questions_object_gap" in said
    (report,) = out.rglob("results_*.json")
    results = json.loads(report.read_text())["results"]
    assert 0 <= results["offline_blimp_five"]["acc,none"] <= 1
    assert "exact_match,flexible-extract" in results["gsm8k"]
    assert "f1,none" in results["offline_xquad_zh"]


@needs_data
@pytest.mark.skipif(not LIMIT, reason="LLMOS_BLIMP says how many pairs; `make acceptance` sets it")
def test_five_paradigms(tmp_path, smollm2_gguf, smollm2_reference):
    """SmolLM2 in float32: identical accuracies, log-likelihoods within 1e-3.

    A few sentences are harder: there float32 itself is further than that from float64, and what hf
    says of one alone is further than that from what it says of it among others. Ours is then no
    further from float64 than twice what hf's worse one is.
    """
    folder = tmp_path / "smollm2"
    exported(smollm2_gguf, smollm2_reference, folder)
    process = DaemonProcess(tmp_path / "daemon", keep_alive_seconds=-1)
    try:
        process.install("smollm2", smollm2_gguf)
        models = {
            "llmos": ["llmos_client.lm_eval", "--model_args", "model=smollm2"],
            "hf": ["lm_eval", "--model", "hf", "--model_args",
                   f"pretrained={folder},dtype=float32", "--device", "cpu", "--batch_size", "32"],
        }  # fmt: skip
        found = {}
        for name, command in models.items():
            out = tmp_path / name
            run(
                process, "-m", *command, "--tasks", "offline_blimp_five", "--include_path", TASKS,
                "--limit", str(LIMIT), "--log_samples", "--output_path", out,
            )  # fmt: skip
            found[name] = samples(out)
    finally:
        process.stop()
    assert found["llmos"].keys() == found["hf"].keys()
    accuracy = sum(own[0] for own in found["llmos"].values()) / len(found["llmos"])
    differences, hard = [], []
    for key, (right, values, texts) in found["llmos"].items():
        known_right, known, _ = found["hf"][key]
        assert right == known_right, key
        for own, other, text in zip(values, known, texts, strict=True):
            differences.append(abs(own - other))
            if differences[-1] > 1e-3:
                hard.append((own, other, text))
    print(
        f"{len(found['llmos'])} pairs, accuracy {accuracy:.4f}; log-likelihoods differ by "
        f"{sorted(differences)[len(differences) // 2]:.1e} (median), {max(differences):.1e} (most); "
        f"{len(hard)} of {len(differences)} by more than 1e-3"
    )
    assert len(hard) <= 0.01 * len(differences)
    for own, other, text in hard:
        alone, exact = alone_and_exact(smollm2_reference, text, folder)
        errors = [abs(value - exact) for value in (own, other, alone)]
        print(f"{text}: off by {errors[0]:.1e}; hf {errors[1]:.1e}, alone {errors[2]:.1e}")
        assert errors[0] <= max(1e-3, 2 * max(errors[1:])), text


@needs_data
@pytest.mark.skipif(not QUESTIONS, reason="LLMOS_XQUAD says how many; `make acceptance` sets it")
def test_xquad_before_and_after(tmp_path, smollm2_gguf):
    """Trained on questions about some articles, SmolLM2 is better at those about others."""
    process = DaemonProcess(tmp_path / "daemon", keep_alive_seconds=-1)
    try:
        process.install("smollm2", smollm2_gguf)
        process.add("xquad", learned_questions(), "pairs")
        before = xquad_scores(process, "smollm2", tmp_path / "before")
        with process.client() as client:
            client.unload_model("smollm2")
            job = client.train_model(
                "smollm2", "xquad", init_from="smollm2", method="lora", settings=LEARNING
            )
            made = client.wait_operation(job).result().version.name
        after = xquad_scores(process, made, tmp_path / "after")
    finally:
        process.stop()
    for task, scores in before.items():
        print(f"{task}, {QUESTIONS} questions, exact match and F1: {scores} -> {after[task]}")
        assert after[task][1] > scores[1]


def learned_questions():
    """Prompts as the harness asks, and answers: 400 in English, 160 about short ones in Chinese.

    A Chinese character is two or three tokens to SmolLM2.
    """
    rows = []
    for language, count, longest in (("en", 400, 2000), ("zh", 160, 220)):
        context, question, answer = XQUAD_WORDS[language]
        found = [
            {"prompt": f"{context}: {said}\n\n{question}: {asked}\n\n{answer}:", "completion": told}
            for said, asked, told in xquad_rows(language)[:-MOST_ASKED]
            if len(said) <= longest
        ]
        rows += random.Random(1).sample(found, count)
    return rows


def xquad_rows(language):
    """(paragraph, question, answer) in the file's order: article by article."""
    content = json.loads((DATA / f"xquad.{language}.json").read_text())
    return [
        (paragraph["context"], asked["question"], asked["answers"][0]["text"])
        for article in content["data"]
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]


def xquad_scores(process, model, out):
    """{task: (exact match, F1)} of some of the last questions, about articles nobody learned from."""
    last = range(len(xquad_rows("en")) - MOST_ASKED, len(xquad_rows("en")))
    asked = sorted(random.Random(2).sample(last, QUESTIONS))
    tasks = ["offline_xquad_en", "offline_xquad_zh"]
    run(
        process, "-m", "llmos_client.lm_eval", "--model_args", f"model={model}", "--tasks",
        ",".join(tasks), "--include_path", TASKS, "--apply_chat_template", "--gen_kwargs",
        "max_gen_toks=32", "--samples", json.dumps(dict.fromkeys(tasks, asked)), "--output_path", out,
    )  # fmt: skip
    (report,) = out.rglob("results_*.json")
    results = json.loads(report.read_text())["results"]
    return {task: (results[task]["exact_match,none"], results[task]["f1,none"]) for task in tasks}


def exported(gguf, reference, folder):
    """The weights that the oracle has, and its tokenizer, as a Hugging Face folder."""
    reference.hf_quantizer = None  # they are no longer quantized
    reference.config.__dict__.pop("quantization_config", None)
    reference.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(
        folder
    )


@torch.inference_mode()
def alone_and_exact(reference, text, folder):
    """Log-likelihoods of a text after the prefix token, in float32 and in float64."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = [reference.config.bos_token_id]
    ids = torch.tensor([ids + tokenizer(text, add_special_tokens=False)["input_ids"]])
    found = []
    for model in (reference, copy.deepcopy(reference).double()):
        logprobs = model(ids).logits[0, :-1].log_softmax(-1)
        found.append(logprobs.gather(1, ids[0, 1:, None]).sum().item())
    return found


def samples(out):
    """{(task, row): (right, log-likelihoods, texts)} of a run."""
    found = {}
    for path in out.rglob("samples_*.jsonl"):
        task = path.name.removeprefix("samples_").rpartition("_")[0]
        for line in path.read_text().splitlines():
            row = json.loads(line)
            values = [float(answer[0]) for answer in row["filtered_resps"]]
            texts = [each["arg_1"] for _, each in sorted(row["arguments"].items())]
            found[task, row["doc_id"]] = row["acc"], values, texts
    return found
