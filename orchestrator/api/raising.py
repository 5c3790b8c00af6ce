"""Errors for callers from Python: ours, which also are those that huggingface_hub raises at the same place.

Where that is installed, `except RepositoryNotFoundError` takes ours; where it is not, `except OSError` or `ValueError`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from orchestrator.errors import (
    CannotCreateError,
    DiskIOError,
    FileAbsentError,
    GatedError,
    GlmAriaError,
    IncompleteError,
    IntegrityError,
    NoSpaceError,
    NotAllowedError,
    NotCachedError,
    PartialError,
    ProtocolError,
    RepoAbsentError,
    RepoNameError,
    RevisionAbsentError,
    SourcesDownError,
    TemporaryError,
    TokenAbsentError,
    UsageError,
)


class Twin(NamedTuple):
    """The names in `huggingface_hub.errors` of what one of our errors is there, the best first; without it `plain`.

    `status` is what a Hub says with such an error.
    """

    kind: type[GlmAriaError]
    names: tuple[str, ...]
    plain: type[Exception]
    status: int = 0


_NOT_HERE = ("LocalEntryNotFoundError",)

TWINS = (
    Twin(IncompleteError, ("IncompleteSnapshotError", *_NOT_HERE), FileNotFoundError),
    Twin(NotCachedError, _NOT_HERE, FileNotFoundError),
    Twin(RepoAbsentError, ("RepositoryNotFoundError",), OSError, 404),
    Twin(RevisionAbsentError, ("RevisionNotFoundError",), OSError, 404),
    Twin(FileAbsentError, ("RemoteEntryNotFoundError", "EntryNotFoundError"), OSError, 404),
    Twin(GatedError, ("GatedRepoError",), OSError, 403),
    Twin(TokenAbsentError, ("LocalTokenNotFoundError",), OSError),
    Twin(NotAllowedError, ("HfHubHTTPError",), OSError, 401),
    Twin(RepoNameError, ("HFValidationError",), ValueError),
    Twin(UsageError, (), ValueError),
    # huggingface_hub says so of a Hub that it does not reach, once the cache does not have it either.
    Twin(SourcesDownError, _NOT_HERE, FileNotFoundError),
    Twin(TemporaryError, _NOT_HERE, FileNotFoundError),
    Twin(ProtocolError, _NOT_HERE, FileNotFoundError),
    *(Twin(kind, (), OSError) for kind in (CannotCreateError, DiskIOError, IntegrityError, NoSpaceError, PartialError)),
)
"""The first that an error is an instance of holds; other errors are ours alone."""


@contextlib.contextmanager
def raising(*more: str) -> Iterator[None]:
    """Let errors of ours leave as their twins, and as `more` of huggingface_hub's."""
    try:
        yield
    except GlmAriaError as error:
        found = twin(error, *more)
        if found is error:
            raise
        raise found.with_traceback(error.__traceback__) from error.__cause__


def twin(error: GlmAriaError, *more: str) -> GlmAriaError:
    """The error as an instance of its own class and of its twins; `more` are further names of huggingface_hub's.

    Its hint is a note, so that a traceback shows it.
    """
    row = next((row for row in TWINS if isinstance(error, row.kind)), None)
    if isinstance(error, _TwinError):
        return error
    if row is None:
        _note_hint(error, error)
        return error
    theirs = _their_errors()
    known = [found for name in row.names if (found := getattr(theirs, name, None))][:1] or [row.plain]
    known += [found for name in more if (found := getattr(theirs, name, None))]
    kinds: tuple[Any, ...] = (type(error), *known)
    made: GlmAriaError = _mixed(*kinds)(error, row.status, more)
    return made


@functools.cache
def _their_errors() -> ModuleType | None:
    # One that is broken must not hide the error that is told.
    with contextlib.suppress(Exception):
        return import_module("huggingface_hub.errors")
    return None


class _TwinError(Exception):
    """Base of the classes that `_mixed` makes."""

    def __init__(self, ours: GlmAriaError, status: int, more: tuple[str, ...]) -> None:
        # Theirs want a response to be made of; only the builtin one below them is called.
        (OSError if isinstance(self, OSError) else Exception).__init__(self, ours.message)
        vars(self).update(vars(ours))
        self._made_of = (ours, more)
        _note_hint(self, ours)
        if status and (theirs := _their_errors()):
            self.request_id, self.server_message = None, ours.message
            self.response = _response(theirs, status, ours.source or "")

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        ours, more = self._made_of
        return twin, (ours, *more)


def _note_hint(error: Exception, ours: GlmAriaError) -> None:
    note = f"hint: {ours.hint}"
    if ours.hint and note not in getattr(error, "__notes__", ()):
        error.add_note(note)


@functools.cache
def _mixed(*kinds: Any) -> Any:
    kind = kinds[0]
    return type(kind.__name__, (_TwinError, *kinds), {"__doc__": kind.__doc__, "__module__": kind.__module__})


def _response(theirs: ModuleType, status: int, source: str) -> Any:
    """The answer that an error of theirs has; None where that is another library's than today."""
    with contextlib.suppress(Exception):
        library = import_module(theirs.Response.__module__.partition(".")[0])
        host = source if source.isascii() and source.replace(".", "").replace("-", "").isalnum() else "huggingface.co"
        return theirs.Response(status, request=library.Request("GET", f"https://{host}"))
    return None
