"""What the client costs before it does anything, and what it must never load."""

import ast
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import llmos_client

FORBIDDEN = "torch numba llmosd transformers numpy"


@pytest.mark.parametrize(
    "code",
    [
        "import llmos_client",
        "from llmos_client import *",
        "from llmos_client import Client, AsyncClient, Generation",
        "from llmos_client.cli.main import run; run(['--help'])",
        "from llmos_client.cli.main import run; run(['ps', '--address', 'unix:/none'])",
    ],
)
def test_nothing_of_the_daemon_is_loaded(code):
    check = f"import sys; print(sorted(set('{FORBIDDEN}'.split()) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_help_loads_nothing_heavy():
    heavy = "grpc rich prompt_toolkit google.protobuf asyncio"
    code = f"""
import sys
from llmos_client.cli.main import run
run(['--help'])
print(sorted(set('{heavy}'.split()) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_help_is_quick(capsys):
    command = [sys.executable, "-c", "from llmos_client.cli.main import main; main()", "--help"]
    subprocess.run(command, check=True, capture_output=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with capsys.disabled():
        print(f" [llmos --help: {seconds * 1000:.0f} ms CPU]", end="")
    # The budget is 0.25 s; a busy machine needs air.
    assert seconds < 1.0


def test_every_public_name_is_there():
    tree = ast.parse(Path(llmos_client.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    names = [alias.name for node in guarded.body for alias in node.names]
    assert len(names) > 60
    for name in names:
        assert getattr(llmos_client, name).__class__ is not type(os), name
    with pytest.raises(AttributeError):
        _ = llmos_client.Nonsense
