"""Calls of gRPC: of whom, how many at once, what is done around one, and how one ends with an error of ours."""

from __future__ import annotations

import contextlib
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from orchestrator.core.text import redacted
from orchestrator.errors import GlmAriaError

Context = grpc.aio.ServicerContext[Any, Any]
_LONGEST, _LONGEST_WORDS = 500, 2000
"""Bytes of a text beside the words of an error, and of those words. A client takes trailers of 8 KiB, where a byte of
the words may be three."""
_MOST_DETAILS = 4


def address_of(peer: str) -> str:
    """The address of a caller without its port: 10.0.0.7 of ipv4:10.0.0.7:50312, ::1 of ipv6:%5B::1%5D:50312. unix: and
    the like have none."""
    return unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]") or peer


class CallsUnderWay:
    """Counts calls while they last: `most` at once, and so many of each address."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._count = 0
        self._of: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def one(self, context: Context) -> AsyncIterator[None]:
        """A call. Ends it with the reason where there are too many."""
        address = address_of(context.peer())
        if self._of[address] >= self._most_of_one:
            await _refuse(context, f"{self._most_of_one} calls from {address} are under way here, which is the most")
        if self._count >= self._most:
            await _refuse(context, f"{self._most} calls are under way here, which is the most")
        self._count += 1
        self._of[address] += 1
        try:
            yield
        finally:
            self._count -= 1
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]


async def _refuse(context: Context, why: str) -> NoReturn:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, why)


def code_of(error: GlmAriaError, codes: Mapping[type[GlmAriaError], grpc.StatusCode]) -> grpc.StatusCode:
    """The code of the first kind that the error is of; INTERNAL for one of none."""
    return next((code for kind, code in codes.items() if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


async def end_with(context: Context, code: grpc.StatusCode, error: GlmAriaError) -> NoReturn:
    """End a call with an error: its words, and as trailers its code, its hint and each of its details."""
    details = error.details[:_MOST_DETAILS]
    beside = {"error-code": (error.code,), "error-hint": (error.hint,), "error-detail": details}
    trailers = tuple((name, _as_trailer(text)) for name, texts in beside.items() for text in texts if text)
    await context.abort(code, error.message.encode(errors="replace")[:_LONGEST_WORDS].decode(errors="ignore"), trailers)


def _as_trailer(text: str) -> str:
    return redacted(text).encode("ascii", "backslashreplace")[:_LONGEST].decode("ascii")


def guarded(handler: Any, entered: Callable[[Context], AbstractAsyncContextManager[None]]) -> Any:
    """The same handler. A single message is read here, once it is entered; a stream, by the handler as it goes on."""
    inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    make = _MAKERS[handler.request_streaming, handler.response_streaming]
    read = handler.request_deserializer
    if inspect.isasyncgenfunction(inner):

        async def tell(asked: Any, context: Context) -> AsyncIterator[Any]:
            async with entered(context):
                async for told in inner(asked, context):
                    yield told

        return make(tell, read, handler.response_serializer)

    async def answer(asked: Any, context: Context) -> Any:
        async with entered(context):
            if not handler.request_streaming:
                try:
                    asked = read(asked)
                except DecodeError:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "this is no message of the call")
            return await inner(asked, context)

    return make(answer, read if handler.request_streaming else None, handler.response_serializer)


_MAKERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
