"""Who may import whom, as data; and what importing must not cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "server" / "llmosd"

BASE = {
    "errors", "config", "config_checks", "config_sources", "roles", "settings", "log", "log_writer",
    "device", "full_disk", "progress", "sd_notify", "status_line",
}  # fmt: skip
# Plain data that crosses a process border; see DECISIONS.md.
DATA = {
    "architectures.config",
    "architectures.dtypes",
    "architectures.families",
    "jobs.data.specs",
    "jobs.evaluating.specs",
    "jobs.feedback.specs",
    "jobs.messages",
    "jobs.optimizing.specs",
    "jobs.specs",
    "jobs.training.estimate",
    "jobs.training.events",
    "jobs.training.shape",
    "jobs.context",
    "jobs.outcome",
}
# Package of llmosd: what of ours it may import beside itself, and of heavy libraries.
RULES = {
    "daemon": (
        {
            "composition",
            "listeners",
            "observing",
            "rpc",
            "operations",
            "supervisor",
            "store",
            "text",
            *BASE,
        },
        set(),
    ),
    "composition": (
        {"observing", "rpc", "operations", "supervisor", "store", "text", *BASE},
        set(),
    ),
    "listeners": ({"observing", "rpc", "store", *BASE}, set()),
    "__main__": ({"daemon", "listeners", "restore", "rpc.guard", *BASE}, set()),
    "restore": ({"store", *BASE}, set()),
    "rpc": (
        {"observing", "operations", "policies", "supervisor", "store", "text", "ipc", *DATA, *BASE},
        {"grpc", "llmos", "protovalidate"},
    ),
    "observing": (
        {"operations", "supervisor", "store", *BASE},
        {"prometheus_client", "opentelemetry"},
    ),
    "policies": ({"jobs.data.personal_data", *DATA, *BASE}, set()),
    "operations": ({"store", "ipc", *BASE}, set()),
    "supervisor": ({"store", "ipc", *DATA, *BASE}, set()),
    "text": ({"store", "ipc", *BASE}, {"tokenizers", "jinja2"}),
    "engine": (
        {"architectures", "quantizers", "store", "ipc", *BASE},
        {"torch", "triton", "numba", "numpy", "safetensors", "llmos_kernels", "llguidance"},
    ),
    "jobs": (
        {
            "architectures",
            "quantizers",
            "objectives",
            "metrics",
            "store",
            "text",
            "ipc",
            *BASE,
            "engine.adapters",
        },  # one reader of an adapter's files
        {"torch", "numpy", "safetensors", "tokenizers"},
    ),
    "architectures": (BASE, {"torch", "numpy"}),
    "objectives": ({"architectures.config", "architectures.trainable", *BASE}, {"torch"}),
    "quantizers": (BASE, {"torch"}),
    "metrics": (BASE, {"numpy", "sacrebleu"}),
    "store": ({"ipc", *BASE}, set()),
    "ipc": (BASE, set()),
    **{name: (BASE, set()) for name in BASE},
}
HEAVY = {
    "torch", "triton", "numba", "numpy", "grpc", "llmos", "llmos_kernels", "safetensors", "tokenizers",
    "jinja2", "protovalidate", "llguidance", "transformers", "gguf", "peft", "trl", "llmos_client",
    "sacrebleu", "rouge_score", "nltk", "prometheus_client", "opentelemetry",
}  # fmt: skip


def imports(path):
    """Dotted names of what a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def package_of(path):
    return path.relative_to(SERVER).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path", sorted(SERVER.rglob("*.py")), ids=lambda p: str(p.relative_to(SERVER))
)
def test_server_imports(path):
    """Every import of the daemon is allowed by RULES."""
    package = package_of(path)
    if package == "__init__":
        return
    ours, heavy = RULES[package]
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "llmosd" and rest:
            allowed = rest.split(".")[0] in {package, *ours, "__version__"} or any(
                rest == each or rest.startswith(each + ".") for each in ours
            )
            assert allowed, f"{package} may not import {name}"
        assert top not in HEAVY - heavy, f"{package} may not import {name}"


@pytest.mark.parametrize(("folder", "allowed"), [
    ("kernels/llmos_kernels", {"numpy", "numba", "llvmlite", "llmos_kernels"}),
    ("client/llmos_client", {"grpc", "llmos", "google", "grpc_health", "click", "rich",
                             "prompt_toolkit", "huggingface_hub", "llmos_client", "plotille",
                             "matplotlib", "tensorboard", "lm_eval", "tqdm", "cryptography"}),
])  # fmt: skip
def test_other_packages(folder, allowed):
    """Kernels know arrays only; the client knows the wire only."""
    for path in (ROOT / folder).rglob("*.py"):
        for name in imports(path):
            top = name.partition(".")[0]
            assert top in allowed or top in sys.stdlib_module_names, f"{path.name}: {name}"


def test_the_rules_can_fail(tmp_path):
    """The control: a forbidden import, hidden in a function, is seen."""
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from torch import nn\n    import llmosd.rpc.status\n")
    assert {"torch", "torch.nn", "llmosd.rpc.status"} <= set(imports(file))


def test_short_jobs_are_light():
    """What checks uploads starts without torch, which takes longer than most checks do."""
    code = "import llmosd.jobs.worker, sys; print('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.parametrize("module", ["llmosd.daemon", "llmos_client", "llmos_client.cli.main"])
def test_front_and_client_are_light(module):
    """Neither torch nor numba nor numpy comes in with the front or the client."""
    code = f"import {module}, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numba", "numpy", "transformers"} & set(loaded.stdout.split())
