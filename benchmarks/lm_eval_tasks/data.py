"""Rows of tasks from files of this machine, for lm-evaluation-harness; nothing is downloaded.

The folder is LLMOS_LM_EVAL_DATA, or --metadata '{"data": "FOLDER"}'. It holds BLiMP.zip (Warstadt
et al., 2020), gsm8k.test.jsonl (Cobbe et al., 2021) and xquad.LANGUAGE.json (Artetxe et al., 2020)
as their authors published them.
"""

import json
import os
import re
import string
import zipfile
from collections import Counter
from pathlib import Path

import datasets


def blimp(paradigm, data=None, **_):
    """The 1,000 pairs of a paradigm."""
    with zipfile.ZipFile(_file("BLiMP.zip", data)) as archive:
        lines = archive.read(f"data/{paradigm}.jsonl").decode().splitlines()
    return _one("train", map(json.loads, lines))


def gsm8k(data=None, **_):
    """The 1,319 questions of the test set; few-shot examples are others of them."""
    lines = _file("gsm8k.test.jsonl", data).read_text().splitlines()
    return _one("test", map(json.loads, lines))


def xquad(language, data=None, **_):
    """Questions on paragraphs, in a language's translation of the same 240."""
    content = json.loads(_file(f"xquad.{language}.json", data).read_text())
    return _one("validation", [
        {"context": paragraph["context"], "question": asked["question"],
         "answers": {"text": [answer["text"] for answer in asked["answers"]]}}
        for article in content["data"]
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ])  # fmt: skip


def squad_scores(doc, results):
    """Exact match and F1 of an answer, as SQuAD's own script computes them (v1.1)."""
    wanted, said = (_normal(text) for text in (doc["answers"]["text"][0], results[0]))
    shared = sum((Counter(wanted) & Counter(said)).values())
    f1 = 2 * shared / (len(wanted) + len(said)) if shared else float(wanted == said)
    return {"exact_match": float(wanted == said), "f1": f1}


def _normal(text):
    """Words in lower case, without punctuation and articles."""
    plain = "".join(each for each in text.lower() if each not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def _one(split, rows):
    return datasets.DatasetDict({split: datasets.Dataset.from_list(list(rows))})


def _file(name, data):
    folder = data or os.environ.get("LLMOS_LM_EVAL_DATA")
    if not folder:
        raise SystemExit("say where the data is: LLMOS_LM_EVAL_DATA=FOLDER")
    path = Path(folder) / name
    if not path.exists():
        raise SystemExit(f"{path} is not there: see benchmarks/lm_eval_tasks/data.py")
    return path
