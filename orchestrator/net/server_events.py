"""Server-sent events (HTML, section 9.2): the events in a body as it arrives. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.errors import ProtocolError

MEDIA_TYPE = "text/event-stream"
_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """An event; `id` is the last one that the server gave, with which a client goes on after a break."""

    id: str
    name: str
    data: str


def events_in(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events in a body; one that is torn at its end is none. Raises ProtocolError for one over 1 MiB."""
    last_id, fields, length = "", dict[str, list[str]](), 0
    for line in _lines(chunks):
        length += len(line)
        if length > _LONGEST:
            raise _too_long()
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        last_id = fields.get("id", [last_id])[-1]
        if "data" in fields:
            yield ServerEvent(last_id, fields.get("event", ["message"])[-1], "\n".join(fields["data"]))
        fields, length = {}, 0


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        # A break that is split between two chunks is one break.
        *whole, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        if len(rest) > _LONGEST:
            raise _too_long()
        yield from (line.removesuffix(b"\r").decode("utf-8", "replace") for line in whole)


def _too_long() -> ProtocolError:
    return ProtocolError("an event of the server is over 1 MiB long")
