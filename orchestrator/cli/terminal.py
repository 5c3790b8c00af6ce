"""Text from outside, made harmless before a person sees it, and the two streams that people and programs read."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping

from orchestrator.errors import DiskIOError
from orchestrator.system import streams

# The query of an address (a signed URL's is a credential), the user name and password in one, tokens, aria2's secret.
_SECRETS = (
    (re.compile(r"\?[^\s'\"<>)\]]*=[^\s'\"<>)\]]*"), "?***"),
    (re.compile(r"://[^\s/@'\"]+@"), "://***@"),
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), "hf_***"),
    (re.compile(r"\b(token:|Bearer )[^\s'\"<>,\]]+"), r"\1***"),
)


def printable(text: str) -> str:
    """`text` with everything that is no plain visible character spelled out, as `\\x1b`, `\\n` or `\\u202e`.

    Names and messages from the network could otherwise move the cursor, retitle the window, forge a line of ours or
    turn around the reading direction.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def message(text: str) -> str:
    """A message as it may be shown: printable, and without what looks like a secret.

    Errors of ours hold none. Those of libraries do: requests quotes whole addresses.
    """
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return printable(text)


def say(line: str = "") -> None:
    """One line for people, on stderr. Nobody there to read it is no reason to fail."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        return


class ReaderLeftError(Exception):
    """Nobody reads stdout any more, as with `| head -1`: a reason to end, and nothing to tell anybody."""


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


def document(value: Mapping[str, object]) -> None:
    """One JSON document, on stdout. All ASCII, so that names can neither hold escape codes nor fail to be encoded.

    Raises DiskIOError where stdout is closed: who asked for the document does not get it.
    """
    if streams.is_missing(sys.stdout):
        raise DiskIOError("cannot write the result: standard output is closed", hint="open it, as with > FILE")
    result(json.dumps(value, ensure_ascii=True, indent=1))
