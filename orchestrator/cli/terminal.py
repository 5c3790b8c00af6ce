"""The two streams that people and programs read: stdout for the result, stderr for all else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from orchestrator import manual
from orchestrator.core.text import printable, redacted
from orchestrator.errors import DiskIOError, GlmAriaError, Interrupted, UsageError
from orchestrator.events import Notice
from orchestrator.system import streams

if TYPE_CHECKING:
    from orchestrator.documents import Document


def say(line: str = "") -> None:
    """One line for people, on stderr. Nobody there to read it is no reason to fail."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        return


def say_errors(*errors: GlmAriaError) -> None:
    """Errors for people: what failed, and what to do about it; then, once for all, where more is said.

    That they stopped the run is no error, and about a wrong command line its help says more than a page.
    """
    for error in errors:
        say(f"{'' if isinstance(error, Interrupted) else 'error: '}{redacted(error.message)}")
        for line in error.details:
            say(f"  {redacted(line)}")
        if error.hint:
            say(f"hint: {redacted(error.hint)}")
    about = dict.fromkeys(error.code for error in errors if not isinstance(error, Interrupted | UsageError))
    if about:
        say(f"more: {manual.command(*about)}")


def say_notice(notice: Notice) -> None:
    """A warning for people."""
    say(f"warning: {redacted(notice.message)}")


class ReaderLeftError(Exception):
    """The reader of stdout is gone, as with `| head -1`: end the run without a message."""


def result(line: str) -> None:
    """One line of the result, on stdout. Raises ReaderLeftError, or DiskIOError for another failure to write."""
    try:
        try:
            print(line, flush=True)
        except UnicodeEncodeError:
            print(line.encode("ascii", "backslashreplace").decode(), flush=True)
    except BrokenPipeError:
        # Not as it is: click would make it exit code 1.
        raise ReaderLeftError from None
    except OSError as error:
        raise DiskIOError(f"cannot write the result to standard output: {error.strerror}") from error


def show(line: str) -> None:
    """One line of the result that may hold names from outside."""
    result(printable(line))


def document(value: Document) -> None:
    """One JSON document, on stdout.

    Raises DiskIOError where stdout is closed: who asked for the document does not get it.
    """
    if streams.is_missing(sys.stdout):
        raise DiskIOError("cannot write the result: standard output is closed", hint="open it, as with > FILE")
    from orchestrator.documents import encode

    result(encode(value, indent=1))
