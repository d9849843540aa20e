"""Names, paths and digests that are none (T32, T34, T35)."""

import os

import pytest

import threats
from llmos.v1 import model_service_pb2 as pb
from threats import fields, place, raw, refusal

TRAVERSALS = [
    "../smollm2", "../../etc/passwd", "a/../../b", "models/../smollm2", "models/smollm2/..",
    "..", "./smollm2", "smollm2/../smollm2", "smollm2/versions/../1", "..\\smollm2", "%2e%2e%2fa",
]  # fmt: skip
BLANKS = ["", " ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u200b"]
ODD = [
    "smollm2\0", "\0", "a" * 300, "models/" + "a" * 65, "-smollm2", ".", ".smollm2", "CON", "Smollm2",
    "smollm2\n", "smollm2\r\n", "\x1b[31msmollm2", "\u0455mollm2", "smollm\uff12", "smollm2\u202e",
    "smollm2/versions/0", "smollm2/versions/-1", "smollm2/versions/1000000000", "smollm2@", "smollm2@1",
    "smollm2@Live", "smollm2/versions/1/x", "models/models/smollm2", "$(id)", "smollm2;id", "*",
]  # fmt: skip
PATHS = [
    "/etc/passwd", "/etc/no-such-file", "/", "~/model.gguf", "file:///etc/shadow", "file:///no-such",
    "http://localhost/x", "s3://bucket/x", "./model.gguf", "../x", "//host/share",
]  # fmt: skip
NAMES = {"model", "name", "model_id", "dataset_id", "parent", "generation", "version"}
FILTERS = {
    f"llmos.v1.{each}Request.model"
    for each in ("ListEvaluations", "ListFeedback", "ExportFeedback")
}
"""Where no name means all."""
SHA = "0123456789abcdef" * 4

pytestmark = pytest.mark.usefixtures("unharmed", "same_files")


@pytest.fixture(scope="module")
def channel(daemon):
    with raw(daemon) as channel:
        yield channel


@pytest.fixture(scope="module")
def named(channel):
    """(method, path, field) of every field that takes a name, in our services and operations."""
    found = []
    for method in threats.methods(channel):
        if method.path.startswith(("/llmos.", "/google.longrunning.")):
            found += [
                (method, above, field)
                for above, field in fields(method.request.DESCRIPTOR)
                if field.name in NAMES and field.type == field.TYPE_STRING
            ]
    return [each for each in found if "ListOperations" not in each[0].path and not in_chat(each)]


def in_chat(each):
    """A function's name in a conversation is no resource's."""
    return any(field.name in {"chat", "messages"} for field in each[1])


@pytest.fixture
def same_files(daemon):
    """The store and what is beside it are not touched."""
    before = tree(daemon.folder)
    yield
    assert tree(daemon.folder) == before


def tree(folder):
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(root, name))
            # The logs and the database's journal grow with each call.
            if not name.startswith(("llmosd.log", "catalog.db", "audit.jsonl")):
                found[root, name] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def refused(channel, method, above, field, value):
    request = method.request()
    setattr(place(request, above), field.name, value)
    return refusal(channel, method, request.SerializeToString())


def test_names_are_found_everywhere(named):
    """The walk covers every method that takes a name."""
    assert len({method.path for method, _, _ in named}) >= 20


@pytest.mark.parametrize("names", [TRAVERSALS, BLANKS, ODD], ids=["traversal", "blank", "odd"])
def test_names_that_are_none(channel, named, names):
    """T32: INVALID_FIELD with the field's name, or PATH_NOT_ALLOWED where it begins as a path."""
    for method, above, field in named:
        path = ".".join(f.name for f in (*above, field))
        for name in names:
            # A file of an upload may be in upper case.
            if field.full_name == "llmos.v1.UploadFile.name" and name in {"CON", "Smollm2"}:
                continue
            if not name and field.full_name in FILTERS:
                continue
            found = refused(channel, method, above, field, name)
            where = (method.path, path, name, found)
            if name.startswith(("../", "./")) and field.name != "generation" and ours(method):
                assert found.label == "PERMISSION_DENIED/PATH_NOT_ALLOWED", where
                assert path in found.message.replace("[0]", ""), where
                continue
            assert found.label == "INVALID_ARGUMENT/INVALID_FIELD", where
            assert path in {f.replace("[0]", "") for f in found.fields}, where


def ours(method):
    return method.path.startswith("/llmos.")


def test_paths_and_urls(channel, named):
    """T34: PATH_NOT_ALLOWED, and the same words whether or not anything is there."""
    for method, above, field in named:
        if field.name == "generation" or not ours(method):
            continue
        first, *others = [refused(channel, method, above, field, path) for path in PATHS]
        assert first.label == "PERMISSION_DENIED/PATH_NOT_ALLOWED", (method.path, first)
        assert others == [first] * len(others), method.path


DIGESTS = [
    "sha256:../../x", f"sha256:{SHA[:63]}", f"sha256:{SHA}0", f"sha256:{SHA.upper()}", f"md5:{SHA}",
    f"SHA256:{SHA}", SHA, f"sha256-{SHA}", f"sha256:{SHA}\n", f"sha512:{SHA * 2}", "", "sha256:",
    f"sha256:{SHA[:-1]}g", f" sha256:{SHA}", "sha256:" + "\uff10" * 64,
]  # fmt: skip


@pytest.mark.parametrize("digest", DIGESTS, ids=range(len(DIGESTS)))
def test_digests(channel, digest):
    """T35: only sha256 and 64 lower-case digits will do; the field is named."""
    header = pb.UploadModelHeader(model_id="evil", format=pb.MODEL_FORMAT_GGUF)
    header.files.add(name="a.gguf", byte_size=1, digest=digest)
    message = pb.UploadModelRequest(header=header).SerializeToString()
    found = refusal(channel, threats.method("UploadModel"), message)
    assert found.label == "INVALID_ARGUMENT/INVALID_FIELD"
    assert found.fields == ["header.files[0].digest"]


def test_good_names(client):
    """What the grammar has is found: the control of all the above."""
    for name in ("smollm2", "models/smollm2", "smollm2@live", "models/smollm2/versions/1"):
        assert client.get_version(name).name == "models/smollm2/versions/1"
