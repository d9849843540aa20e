"""Uploads as raw messages, right or wrong, and how they end."""

import hashlib

from google.longrunning.operations_proto_pb2 import Operation

import threats
from llmos.v1 import model_service_pb2 as pb

CHUNK = 1024 * 1024
INVALID = "INVALID_ARGUMENT/INVALID_MODEL_FILE"


def messages(files, *, kind=pb.MODEL_FORMAT_HUGGING_FACE, digests=(), sizes=()):
    """An upload's messages; a digest or a size may be another than the file's."""
    header = pb.UploadModelHeader(model_id="bad", format=kind)
    for name, data in files.items():
        digest = dict(digests).get(name, f"sha256:{hashlib.sha256(data).hexdigest()}")
        header.files.add(name=name, byte_size=dict(sizes).get(name, len(data)), digest=digest)
    yield pb.UploadModelRequest(header=header).SerializeToString()
    for index, data in enumerate(files.values()):
        for at in range(0, len(data), CHUNK):
            chunk = pb.UploadModelChunk(file=index, data=data[at : at + CHUNK])
            yield pb.UploadModelRequest(chunk=chunk).SerializeToString()


def refused(daemon, *sent):
    """How the upload itself is refused."""
    with threats.raw(daemon) as channel:
        return threats.refusal(channel, threats.method("UploadModel"), *sent, timeout=60)


def failure(daemon, files, **options):
    """How the operation that an upload starts ends."""
    with threats.raw(daemon) as channel, daemon.client() as client:
        method = threats.method("UploadModel")
        call = threats.start(channel, method, *messages(files, **options), timeout=60)
        operation = client.get_operation(Operation.FromString(call.result()).name)
        error = client.wait_operation(operation).error
    assert error is not None, "it was taken"
    threats.check_text(error.message)
    assert not error.violations
    return error
