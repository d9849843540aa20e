"""Run by tests/e2e/test_lm_eval.py: the harness's `hf` backend and ours, asked the same.

    python lm_eval_compare.py FOLDER ADDRESS MODEL PAIRS.json OUT.json

Both are asked about sentences, awkward texts and texts longer than the context; what they said is
written down, to be compared by whoever runs this.
"""

import json
import sys
from pathlib import Path

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from llmos_client.lm_eval.model import LlmosLM

LONG = "the man in the inn and a hen there " * 12
PAIRS = [
    ("", "the inn"), ("the ", "inn"), ("the", " inn"), ("a hen  ", "  there"), (LONG, " there"),
    ("the inn", "s"), ("<|im_start|>user", "\nthe"), ("in", " the other hand"),
]  # fmt: skip
ANSWERS = [
    ("the man", {"until": ["e"], "max_gen_toks": 12}), ("a hen in", {"max_gen_toks": 6}),
    (LONG, {"until": ["zz"], "max_gen_toks": 8, "do_sample": False}),
]  # fmt: skip


def requests(kind, arguments):
    return [
        Instance(request_type=kind, doc={}, arguments=each, idx=at)
        for at, each in enumerate(arguments)
    ]


def asked(model, pairs):
    messages = [{"role": "user", "content": "the inn"}]
    begun = [*messages, {"role": "assistant", "content": "a hen"}]
    return {
        "pairs": model.loglikelihood(requests("loglikelihood", pairs)),
        "rolling": model.loglikelihood_rolling(
            requests("loglikelihood_rolling", [(LONG,), ("the inn",), (LONG[:300],)])
        ),
        "answers": model.generate_until(requests("generate_until", ANSWERS)),
        "chat": model.apply_chat_template(messages),
        "begun": model.apply_chat_template(begun, add_generation_prompt=False),
        "prefix": model.prefix_token_id,
        "max_length": model.max_length,
    }


def main():
    folder, address, name, pairs, out = sys.argv[1:]
    rows = [*PAIRS, *map(tuple, json.loads(Path(pairs).read_text()))]
    theirs = HFLM(pretrained=folder, dtype="float32", device="cpu", batch_size=4)
    ours = LlmosLM(model=name, address=address, batch_size=4, device="cpu")
    Path(out).write_text(json.dumps([asked(theirs, rows), asked(ours, rows)]))


if __name__ == "__main__":
    main()
