import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AdapterState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADAPTER_STATE_UNSPECIFIED: _ClassVar[AdapterState]
    ADAPTER_STATE_AVAILABLE: _ClassVar[AdapterState]
    ADAPTER_STATE_READY: _ClassVar[AdapterState]
    ADAPTER_STATE_REFUSED: _ClassVar[AdapterState]
ADAPTER_STATE_UNSPECIFIED: AdapterState
ADAPTER_STATE_AVAILABLE: AdapterState
ADAPTER_STATE_READY: AdapterState
ADAPTER_STATE_REFUSED: AdapterState

class AdapterInfo(_message.Message):
    __slots__ = ("domain", "version", "digest", "aliases", "state", "reason", "created_time", "size_bytes")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    domain: str
    version: str
    digest: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    state: AdapterState
    reason: str
    created_time: _timestamp_pb2.Timestamp
    size_bytes: int
    def __init__(self, domain: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[AdapterState, str]] = ..., reason: _Optional[str] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class ListAdaptersRequest(_message.Message):
    __slots__ = ("domain", "page_size", "page_token")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    domain: str
    page_size: int
    page_token: str
    def __init__(self, domain: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAdaptersResponse(_message.Message):
    __slots__ = ("adapters", "next_page_token", "generation")
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    adapters: _containers.RepeatedCompositeFieldContainer[AdapterInfo]
    next_page_token: str
    generation: int
    def __init__(self, adapters: _Optional[_Iterable[_Union[AdapterInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., generation: _Optional[int] = ...) -> None: ...

class GetAdapterRequest(_message.Message):
    __slots__ = ("domain", "version")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    domain: str
    version: str
    def __init__(self, domain: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class GetAdapterResponse(_message.Message):
    __slots__ = ("adapter", "manifest_json")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_JSON_FIELD_NUMBER: _ClassVar[int]
    adapter: AdapterInfo
    manifest_json: str
    def __init__(self, adapter: _Optional[_Union[AdapterInfo, _Mapping]] = ..., manifest_json: _Optional[str] = ...) -> None: ...

class RefreshRegistryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RefreshRegistryResponse(_message.Message):
    __slots__ = ("generation", "loaded", "refused")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    generation: int
    loaded: _containers.RepeatedCompositeFieldContainer[AdapterInfo]
    refused: _containers.RepeatedCompositeFieldContainer[AdapterInfo]
    def __init__(self, generation: _Optional[int] = ..., loaded: _Optional[_Iterable[_Union[AdapterInfo, _Mapping]]] = ..., refused: _Optional[_Iterable[_Union[AdapterInfo, _Mapping]]] = ...) -> None: ...

class SetAliasRequest(_message.Message):
    __slots__ = ("domain", "alias", "version", "share")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    domain: str
    alias: str
    version: str
    share: float
    def __init__(self, domain: _Optional[str] = ..., alias: _Optional[str] = ..., version: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

class SetAliasResponse(_message.Message):
    __slots__ = ("previous_version", "generation")
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    previous_version: str
    generation: int
    def __init__(self, previous_version: _Optional[str] = ..., generation: _Optional[int] = ...) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("domain",)
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    domain: str
    def __init__(self, domain: _Optional[str] = ...) -> None: ...

class RollbackResponse(_message.Message):
    __slots__ = ("version", "previous_version", "generation")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    version: str
    previous_version: str
    generation: int
    def __init__(self, version: _Optional[str] = ..., previous_version: _Optional[str] = ..., generation: _Optional[int] = ...) -> None: ...

class UnloadAdapterRequest(_message.Message):
    __slots__ = ("domain", "version")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    domain: str
    version: str
    def __init__(self, domain: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class UnloadAdapterResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
