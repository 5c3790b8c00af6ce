"""A client of the registry's gRPC calls, as people who are given `proto/registry.proto` write one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from orchestrator.serve.registry.rpc.stubs import registry_pb2 as pb
from orchestrator.serve.registry.rpc.stubs import registry_pb2_grpc
from tests.servers.ports import free_port

_PATIENCE = 60


@dataclass(frozen=True)
class Called:
    """The end of a call: the name of its code, what was answered, and else what was said, with the trailers."""

    code: str
    value: Any = None
    said: str = ""
    trailers: tuple[tuple[str, str], ...] = ()

    @property
    def details(self) -> list[str]:
        """The details of the error."""
        return [text for name, text in self.trailers if name == "error-detail"]


class Calling:
    """Calls at a channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub: Any = registry_pb2_grpc.ModelRegistryStub(channel)

    def do(self, method: str, asked: Any, token: str = "") -> Called:
        """The answer to a call; of a stream, its first message."""
        try:
            found = getattr(self._stub, method)(asked, metadata=shown(token), timeout=_PATIENCE)
            if method != "WatchAliases":
                return Called("OK", found)
            first = next(found)
            found.cancel()
            return Called("OK", first)
        except grpc.RpcError as error:
            return ended(error)

    def watch(self, token: str, **asked: Any) -> Any:
        """A stream of moves that has begun, and the number with which it did."""
        stream = self._stub.WatchAliases(pb.WatchAliasesRequest(**asked), metadata=shown(token), timeout=_PATIENCE)
        return stream, next(stream).number


def ended(error: grpc.RpcError) -> Called:
    """The end of a call that failed."""
    call: Any = error
    return Called(call.code().name, None, call.details(), tuple(map(tuple, call.trailing_metadata() or ())))


def shown(token: str) -> tuple[tuple[str, str], ...]:
    """The headers with a token, if there is one."""
    return (("authorization", f"Bearer {token}"),) if token else ()


def grpc_place() -> str:
    """A place for the server to answer at."""
    return f"127.0.0.1:{free_port()}"


@contextmanager
def calling(place: str) -> Iterator[Calling]:
    """A client of the server at this place."""
    with grpc.insecure_channel(place, options=(("grpc.enable_http_proxy", 0),)) as channel:
        yield Calling(channel)
