"""What lm-evaluation-harness's client does by itself; tests/e2e/test_lm_eval.py has the harness."""

import subprocess
import sys

import pytest

from llmos_client.lm_eval.__main__ import completed
from llmos_client.lm_eval.generating import options_of


def test_without_the_harness():
    """One sentence, and how to install it."""
    code = (
        "import sys; sys.modules['lm_eval'] = None\n"
        "from llmos_client.lm_eval.__main__ import main; sys.exit(main([]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "no module lm_eval" in done.stderr
    assert "pip install 'llmos[lm-eval]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("given", "added"), [
    (["--tasks", "x"], True),
    (["run", "--tasks", "x"], True),
    (["--model", "hf", "--tasks", "x"], False),
    (["--model=hf"], False),
    (["run", "-M", "hf"], False),
    (["ls", "tasks"], False),
    (["--help"], False),
    ([], False),
])  # fmt: skip
def test_the_model_may_be_left_out(given, added):
    assert completed(given) == [*given, *(["--model", "llmos"] if added else [])]


@pytest.mark.parametrize(("given", "expected"), [
    ({}, {"max_tokens": 9, "stop": [], "temperature": 0.0}),
    ({"until": "\n", "max_gen_toks": 4}, {"max_tokens": 4, "stop": ["\n"], "temperature": 0.0}),
    ({"until": ["a", ""], "max_new_tokens": 5, "do_sample": False, "temperature": 0.7},
     {"max_tokens": 5, "stop": ["a"], "temperature": 0.0}),
    ({"do_sample": True, "top_p": 0.9}, {"max_tokens": 9, "stop": [], "temperature": 1.0, "top_p": 0.9}),
    ({"temperature": 0.5}, {"max_tokens": 9, "stop": [], "temperature": 0.5}),
])  # fmt: skip
def test_words_for_generating(given, expected):
    assert options_of(given, 9) == expected


def test_a_word_that_means_nothing_is_named():
    with pytest.raises(TypeError, match="num_beams"):
        options_of({"num_beams": 2}, 9)
