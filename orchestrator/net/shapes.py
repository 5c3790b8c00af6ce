"""Reading fields of foreign JSON: the value with the expected type, or an error that says what was odd."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from datetime import UTC, datetime
from typing import Any

from orchestrator.core.files import MAX_FILE, Algorithm, Digest
from orchestrator.core.names import REFUSED_WHOLE
from orchestrator.core.text import printable
from orchestrator.errors import ProtocolError, UnsafeError
from orchestrator.net.answers import Answer

_DIGITS = 19


def odd(site: str, what: str, file: str | None = None) -> ProtocolError:
    """The error for an answer of `site` whose shape the protocol does not allow."""
    return ProtocolError(f"{site} sent a malformed answer: {what}; nothing was written", source=site, file=file)


def mapping(value: Any, site: str, what: str) -> dict[str, Any]:
    """`value` as a JSON object."""
    if not isinstance(value, dict):
        raise odd(site, f"{what} is not an object")
    return value


def sequence(value: Any, site: str, what: str) -> list[Any]:
    """`value` as a JSON array."""
    if not isinstance(value, list):
        raise odd(site, f"{what} is not a list")
    return value


def text(entry: dict[str, Any], key: str, site: str, what: str) -> str:
    """A string field."""
    value = entry.get(key)
    if not isinstance(value, str):
        raise odd(site, f"{what} has no text {key!r}")
    return value


def files_of(
    entries: Iterable[Any], key: str, kinds: tuple[str, str], site: str
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The entries of a listing that are files, and a word on each that is neither a file nor a folder.

    `kinds` are the values of `key` for a file and for a folder. Kinds that a site adds to git's, and git's further ones
    (submodules), do not invalidate the files.
    """
    files: list[dict[str, Any]] = []
    others: list[str] = []
    for entry in entries:
        found = mapping(entry, site, "an entry of the listing")
        kind = text(found, key, site, "an entry of the listing")
        if kind == kinds[0]:
            files.append(found)
        elif kind != kinds[1]:
            others.append(f"{str(found.get('path', found.get('Path')))[:200]!r} ({kind[:40]!r})")
    return files, tuple(others)


def refuse_unknown(files: Sized, others: Sequence[str], site: str) -> None:
    """Raise ProtocolError for a whole listing of things that are no files: its kinds are none that we know."""
    if others and not files:
        raise odd(site, f"it lists {others[0]} and nothing that is a file")


def size(entry: dict[str, Any], key: str, site: str, what: str) -> int:
    """The bytes of a file: a whole number from 0 to 16 TiB."""
    value = entry.get(key)
    if type(value) is not int or not 0 <= value <= MAX_FILE:
        raise odd(site, f"{what} has no sensible {key!r}")
    return value


def whole(text: str) -> int | None:
    """The whole number in a header; None for anything else, and for one that is too long for any size."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None


def moment(value: Any) -> float | None:
    """A date of ISO 8601 as unix seconds; None for anything else. It is only ever a help."""
    try:
        found = datetime.fromisoformat(value)
        return found.timestamp() if found.tzinfo else found.replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def digest(algorithm: Algorithm, value: str, site: str, path: str) -> Digest:
    """The digest of the file `path`. Raises UnsafeError: it becomes a name on disk."""
    try:
        return Digest(algorithm, value)
    except UnsafeError as error:
        raise UnsafeError(
            f"the listing of {site} gives {path!r} the {algorithm} digest {value[:80]!r}, which is not a digest; "
            "nothing was written",
            hint=REFUSED_WHOLE,
            file=path,
            source=site,
        ) from error


def refusal(answer: Answer) -> tuple[str, str | None] | None:
    """The message and the hint of a refusal in JSON, as a server of ours writes it; None for any other body."""
    try:
        said = answer.json
    except ProtocolError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("error"), str):
        return None
    hint = said.get("hint")
    return printable(said["error"]), printable(hint) if isinstance(hint, str) else None
