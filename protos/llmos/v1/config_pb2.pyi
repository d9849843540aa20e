from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConfigOrigin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFIG_ORIGIN_UNSPECIFIED: _ClassVar[ConfigOrigin]
    CONFIG_ORIGIN_DEFAULT: _ClassVar[ConfigOrigin]
    CONFIG_ORIGIN_FILE: _ClassVar[ConfigOrigin]
    CONFIG_ORIGIN_ENVIRONMENT: _ClassVar[ConfigOrigin]
    CONFIG_ORIGIN_FLAG: _ClassVar[ConfigOrigin]
CONFIG_ORIGIN_UNSPECIFIED: ConfigOrigin
CONFIG_ORIGIN_DEFAULT: ConfigOrigin
CONFIG_ORIGIN_FILE: ConfigOrigin
CONFIG_ORIGIN_ENVIRONMENT: ConfigOrigin
CONFIG_ORIGIN_FLAG: ConfigOrigin

class GetConfigRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetConfigResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: _containers.RepeatedCompositeFieldContainer[ConfigSetting]
    def __init__(self, settings: _Optional[_Iterable[_Union[ConfigSetting, _Mapping]]] = ...) -> None: ...

class ConfigSetting(_message.Message):
    __slots__ = ("name", "value_json", "origin", "origin_name", "reloadable", "restart_pending")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_JSON_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_NAME_FIELD_NUMBER: _ClassVar[int]
    RELOADABLE_FIELD_NUMBER: _ClassVar[int]
    RESTART_PENDING_FIELD_NUMBER: _ClassVar[int]
    name: str
    value_json: str
    origin: ConfigOrigin
    origin_name: str
    reloadable: bool
    restart_pending: bool
    def __init__(self, name: _Optional[str] = ..., value_json: _Optional[str] = ..., origin: _Optional[_Union[ConfigOrigin, str]] = ..., origin_name: _Optional[str] = ..., reloadable: _Optional[bool] = ..., restart_pending: _Optional[bool] = ...) -> None: ...

class ReloadConfigRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadConfigResponse(_message.Message):
    __slots__ = ("applied", "restart_needed")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    RESTART_NEEDED_FIELD_NUMBER: _ClassVar[int]
    applied: _containers.RepeatedScalarFieldContainer[str]
    restart_needed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, applied: _Optional[_Iterable[str]] = ..., restart_needed: _Optional[_Iterable[str]] = ...) -> None: ...
