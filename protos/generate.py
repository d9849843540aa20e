"""Write the Python stubs of protos/ into a folder (by default beside their sources).

Run by `make protos`, and by the test that compares the committed stubs with fresh ones.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import google.longrunning
from grpc_tools import protoc

PROTOS = Path(__file__).parent


def sources() -> list[str]:
    """Our .proto files, as protoc names them."""
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))


def generate(out: Path) -> None:
    """Write *_pb2.py, *_pb2.pyi and, for services, *_pb2_grpc.py below `out`."""
    services = [name for name in sources() if name.endswith("_service.proto")]
    with _include_flags() as includes:
        _protoc([*includes, f"--python_out={out}", f"--pyi_out={out}", *sources()])
        _protoc([*includes, f"--grpc_python_out={out}", *services])


def describe(out: Path) -> None:
    """Write the descriptor set of llmos.v1: what buf lints and compares."""
    own = [name for name in sources() if name.startswith("llmos/")]
    with _include_flags() as includes:
        _protoc([*includes, "--include_imports", f"--descriptor_set_out={out}", *own])


@contextmanager
def _include_flags() -> Iterator[list[str]]:
    """Folders of .proto sources: ours, googleapis-common-protos', and protoc's own.

    googleapis-common-protos ships operations.proto under another file name than the descriptor of
    its own stub has; what we import must have the descriptor's.
    """
    googleapis = Path(next(iter(google.longrunning.__path__)))
    with tempfile.TemporaryDirectory() as scratch:
        renamed = Path(scratch) / "google" / "longrunning"
        renamed.mkdir(parents=True)
        shutil.copy(googleapis / "operations_proto.proto", renamed / "operations.proto")
        folders = [PROTOS, scratch, googleapis.parents[1], Path(protoc.__file__).parent / "_proto"]
        yield [f"-I{folder}" for folder in folders]


def _protoc(arguments: list[str]) -> None:
    if protoc.main(["protoc", *arguments]) != 0:
        raise SystemExit("protoc failed; its message is above")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        describe(Path(sys.argv[1]))
    else:
        generate(PROTOS)
