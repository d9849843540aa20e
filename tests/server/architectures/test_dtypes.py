"""What is served where: the message says what would work."""

import pytest

from llmosd.architectures.dtypes import check_served
from llmosd.errors import InvalidField


@pytest.mark.parametrize(("architecture", "device", "dtype", "says"), [
    ("llama", "cuda", "int8", "run as float32, bfloat16 on cuda"),
    ("lstm", "cuda", "float32", "run on cpu, not on cuda"),
    ("encoder", "cpu", "float32", "trained, not generated with"),
])  # fmt: skip
def test_refused(architecture, device, dtype, says):
    """Another type, another device, or nothing."""
    with pytest.raises(InvalidField, match=says):
        check_served(architecture, device, dtype)


def test_served():
    """The control."""
    check_served("llama", "cpu", "int8")
    check_served("lstm", "cpu", "bfloat16")
