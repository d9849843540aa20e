from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BackUpStateRequest(_message.Message):
    __slots__ = ("digests",)
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    digests: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, digests: _Optional[_Iterable[str]] = ...) -> None: ...

class BackUpStateResponse(_message.Message):
    __slots__ = ("files", "chunk")
    FILES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    files: BackupFiles
    chunk: BackupChunk
    def __init__(self, files: _Optional[_Union[BackupFiles, _Mapping]] = ..., chunk: _Optional[_Union[BackupChunk, _Mapping]] = ...) -> None: ...

class BackupFiles(_message.Message):
    __slots__ = ("files", "complete", "server_version", "schema_version")
    FILES_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[BackupFile]
    complete: bool
    server_version: str
    schema_version: int
    def __init__(self, files: _Optional[_Iterable[_Union[BackupFile, _Mapping]]] = ..., complete: _Optional[bool] = ..., server_version: _Optional[str] = ..., schema_version: _Optional[int] = ...) -> None: ...

class BackupFile(_message.Message):
    __slots__ = ("path", "byte_size", "digest")
    PATH_FIELD_NUMBER: _ClassVar[int]
    BYTE_SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    path: str
    byte_size: int
    digest: str
    def __init__(self, path: _Optional[str] = ..., byte_size: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class BackupChunk(_message.Message):
    __slots__ = ("digest", "data", "last")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    digest: str
    data: bytes
    last: bool
    def __init__(self, digest: _Optional[str] = ..., data: _Optional[bytes] = ..., last: _Optional[bool] = ...) -> None: ...
