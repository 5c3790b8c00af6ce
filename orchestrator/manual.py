"""The pages of the manual about errors: what a code means, why it happens, and what to do, in English and Chinese."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from orchestrator.errors import GlmAriaError, Interrupted, NotFoundError, error_classes

Language = Literal["en", "zh"]
_PACKAGE = Path(__file__).parent
# An installed wheel carries the pages inside the package; a checkout has them in docs.
_FOLDERS = (_PACKAGE / "error_pages", _PACKAGE.parent / "docs" / "errors")
_ENDINGS = {"en": ".md", "zh": ".zh-CN.md"}
_COMMENT = re.compile(r"^<!--.*-->\n", re.MULTILINE)
_LINK = re.compile(r"\[([^]]+)\]\([^)\s]+\)")


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """The page of an error. `text` is Markdown without links, which lead nowhere in a terminal."""

    code: str
    exit_codes: tuple[int, ...]
    meaning: str
    text: str

    @classmethod
    def read(cls, code: str, language: Language = "en") -> Self:
        """The page of a code of `codes()`. Raises NotFoundError where the installation lacks it."""
        name = code + _ENDINGS[language]
        file = next((folder / name for folder in _FOLDERS if (folder / name).is_file()), None)
        if file is None:
            raise NotFoundError(f"the page {name} is missing from the installation", hint="install glm-aria again")
        text = re.sub(r"\n{3,}", "\n\n", _LINK.sub(r"\1", _COMMENT.sub("", file.read_text("utf-8"))))
        return cls(code, codes()[code], text.split("\n\n")[1].replace("\n", " ").strip(), text)


@dataclass(frozen=True, slots=True)
class ManualDocument:
    """The data of `explain --json`."""

    language: Language
    pages: tuple[ErrorPage, ...]


def codes() -> dict[str, tuple[int, ...]]:
    """All codes with their exit codes, in the order of these."""
    found: dict[str, tuple[int, ...]] = {}
    for kind in error_classes():
        if kind.__module__ == GlmAriaError.__module__ and "code" in vars(kind):
            found[kind.code] = (130, 143) if kind is Interrupted else (kind.exit_code,)
    return dict(sorted(found.items(), key=lambda item: item[1]))


def codes_of(word: str) -> tuple[str, ...]:
    """The codes that a word means: one by its name, or all of an exit code; none for any other word."""
    known = codes()
    if word in known:
        return (word,)
    return tuple(code for code, numbers in known.items() if word in map(str, numbers))


def command(*about: str) -> str:
    """The command that shows the pages of these codes: their short address, which needs no network."""
    return " ".join(("glm-aria explain", *about))
