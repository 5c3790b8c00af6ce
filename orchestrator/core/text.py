"""Text from outside, made harmless before a person sees it or a program logs it."""

from __future__ import annotations

import re

# The query of an address (a signed URL's is a credential), the user name and password in one, tokens, aria2's secret.
_SECRETS = (
    (re.compile(r"\?[^\s'\"<>)\]]*=[^\s'\"<>)\]]*"), "?***"),
    # A ref of MLflow has the name of a model there.
    (re.compile(r"(?<!\bmlflow)://[^\s/@'\"]+@"), "://***@"),
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), "hf_***"),
    (re.compile(r"\bgla_[A-Za-z0-9_-]{8,}"), "gla_***"),
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


def counted(number: int, noun: str) -> str:
    """A number of things: `1 task`, `2 tasks`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def redacted(text: str) -> str:
    """A message as it may be shown: printable, and without what looks like a secret.

    Errors of ours hold none. Those of libraries do: requests quotes whole addresses.
    """
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return printable(text)
