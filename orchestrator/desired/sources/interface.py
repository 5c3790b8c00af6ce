"""The port of a source, and the one way in which a document is read through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.desired.wish.document import NAMES, DesiredDocument, parse_document
from orchestrator.errors import FileAbsentError, UsageError

MOST = 16 << 20
"""Bytes of a file of a desired state."""


class SourceTree(Protocol):
    """The files of a source at one revision."""

    @property
    def revision(self) -> str:
        """The name of the revision: a commit, the digest of a manifest, of files."""

    @property
    def top(self) -> str | None:
        """The file that was named; None where a folder was."""

    @property
    def moment(self) -> int | None:
        """The time of the revision by what its own signature covers, in unix seconds; None where it has none."""

    def read(self, name: str) -> bytes:
        """The content of a file by its path, of at most `MOST` bytes. Raises FileAbsentError, UnsafeError for what is
        no file, and what the source does when it cannot be asked."""


class DesiredSource(Protocol):
    """A source that is looked at again and again; used by one thread."""

    @property
    def is_near(self) -> bool:
        """True when a look costs others nothing: it is on this machine."""

    def look(self) -> str:
        """A token that changes whenever there may be something new. Raises what the source does when it cannot be
        asked."""

    def open(self) -> AbstractContextManager[SourceTree]:
        """The files as they are now. Raises as `look`, TrustError for what nobody signed who may."""


@dataclass(frozen=True, slots=True)
class ReadState:
    """A desired state as a source had it: its revision, the texts of its files, and what they say. `serial` grows with
    each newer one, as who signed it says; 0 where nobody does."""

    revision: str
    top: str
    texts: Mapping[str, str]
    document: DesiredDocument
    serial: int = field(default=0, compare=False)


Vouched = Callable[[str, bytes, Callable[[str], bytes]], None]
"""Raises TrustError unless the content of the file of this name is signed; the last argument reads other files."""


def anybody(_name: str, _content: bytes, _read: Callable[[str], bytes]) -> None:
    """A `Vouched` for who asks for no signature."""


def read_state(tree: SourceTree, vouched: Vouched = anybody) -> ReadState:
    """Read what a source desires. Raises UsageError for what is wrong, and what `tree` and `vouched` do."""
    texts: dict[str, str] = {}

    def read(name: str) -> str:
        content = tree.read(name)
        vouched(name, content, tree.read)
        try:
            texts[name] = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UsageError(f"{name} is not UTF-8 text") from error
        return texts[name]

    top = tree.top or _found_in(tree)
    document = parse_document(top, read)
    moment = tree.moment
    return ReadState(tree.revision, top, texts, document, document.serial if moment is None else moment)


def read_again(revision: str, top: str, texts: Mapping[str, str]) -> ReadState:
    """A state that was read before, from its texts. Raises UsageError."""

    def read(name: str) -> str:
        if name not in texts:
            raise UsageError(f"{name} is missing")
        return texts[name]

    return ReadState(revision, top, texts, parse_document(top, read))


def _found_in(tree: SourceTree) -> str:
    for name in NAMES:
        try:
            tree.read(name)
        except FileAbsentError:
            continue
        return name
    raise FileAbsentError(f"the folder of the desired state has none of {', '.join(NAMES)}")
