import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ResolveVersionRequest(_message.Message):
    __slots__ = ("model", "wanted")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    model: str
    wanted: str
    def __init__(self, model: _Optional[str] = ..., wanted: _Optional[str] = ...) -> None: ...

class ResolvedVersion(_message.Message):
    __slots__ = ("model", "version", "aliases", "digest", "commit", "repository")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    digest: str
    commit: str
    repository: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., digest: _Optional[str] = ..., commit: _Optional[str] = ..., repository: _Optional[str] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("model", "page_token", "page_size")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    model: str
    page_token: str
    page_size: int
    def __init__(self, model: _Optional[str] = ..., page_token: _Optional[str] = ..., page_size: _Optional[int] = ...) -> None: ...

class ListVersionsResponse(_message.Message):
    __slots__ = ("versions", "aliases", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[VersionEntry]
    aliases: _containers.RepeatedCompositeFieldContainer[AliasEntry]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[VersionEntry, _Mapping]]] = ..., aliases: _Optional[_Iterable[_Union[AliasEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class VersionEntry(_message.Message):
    __slots__ = ("version", "digest", "size", "published_by", "published_at")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_BY_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AT_FIELD_NUMBER: _ClassVar[int]
    version: str
    digest: str
    size: int
    published_by: str
    published_at: _timestamp_pb2.Timestamp
    def __init__(self, version: _Optional[str] = ..., digest: _Optional[str] = ..., size: _Optional[int] = ..., published_by: _Optional[str] = ..., published_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AliasEntry(_message.Message):
    __slots__ = ("alias", "digest", "version")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    alias: str
    digest: str
    version: str
    def __init__(self, alias: _Optional[str] = ..., digest: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class SetAliasRequest(_message.Message):
    __slots__ = ("model", "alias", "wanted", "expected", "must_not_exist")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    MUST_NOT_EXIST_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: str
    wanted: str
    expected: str
    must_not_exist: bool
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[str] = ..., wanted: _Optional[str] = ..., expected: _Optional[str] = ..., must_not_exist: bool = ...) -> None: ...

class WatchAliasesRequest(_message.Message):
    __slots__ = ("model", "aliases", "after")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    model: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    after: int
    def __init__(self, model: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., after: _Optional[int] = ...) -> None: ...

class AliasEvent(_message.Message):
    __slots__ = ("number", "model", "alias", "before", "after", "version", "moved_by", "moved_at")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MOVED_BY_FIELD_NUMBER: _ClassVar[int]
    MOVED_AT_FIELD_NUMBER: _ClassVar[int]
    number: int
    model: str
    alias: str
    before: str
    after: str
    version: str
    moved_by: str
    moved_at: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., model: _Optional[str] = ..., alias: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., version: _Optional[str] = ..., moved_by: _Optional[str] = ..., moved_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
