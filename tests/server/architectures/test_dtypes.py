"""What is served where: the message says what would work."""

import pytest

from llmosd.architectures.dtypes import check_served
from llmosd.errors import InvalidField
from tiny_training import tiny_config

HEAD = {"head": "classify", "labels": ("a", "b")}


@pytest.mark.parametrize(("architecture", "device", "dtype", "head", "says"), [
    ("llama", "cuda", "int8", {}, "run as float32, bfloat16 on cuda"),
    ("lstm", "cuda", "float32", {}, "run on cpu, not on cuda"),
    ("encoder", "cpu", "float32", {}, "guesses hidden words is trained further"),
    ("encoder", "cuda", "float32", HEAD, "run on cpu, not on cuda"),
    ("llama", "cpu", "int8", HEAD, "models that classify run as float32, bfloat16, not as int8"),
    ("naive-bayes", "cpu", "bfloat16", HEAD, "run as float32 on cpu"),
])  # fmt: skip
def test_refused(architecture, device, dtype, head, says):
    """Another type, another device, another head, or nothing."""
    with pytest.raises(InvalidField, match=says):
        check_served(tiny_config(architecture, **head), device, dtype)


def test_served():
    """The control."""
    check_served(tiny_config("llama"), "cpu", "int8")
    check_served(tiny_config("lstm"), "cpu", "bfloat16")
    check_served(tiny_config("encoder", **HEAD), "cpu", "bfloat16")
    check_served(tiny_config("llama", **HEAD), "cuda", "bfloat16")
