"""Paths of a repo as names on a disk: which are unsafe anywhere, and which only another system cannot hold.

What is unsafe anywhere is refused with the whole listing: it would leave the folder, hide in a terminal, or be taken
for part of a git repository, whose configuration names commands. The rule for `.git` is git's own (`verify_path` of
read-cache.c with `is_ntfs_dotgit` and `is_hfs_dotgit`), on every system: a folder can be carried to another one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.errors import UnsafeError

REFUSED_WHOLE = "report it to the owner of the repo; --exclude does not help, the whole listing is refused"
"""The hint where a listing holds something unsafe."""
_MOST_BYTES = 4096
_MOST_BYTES_OF_PART = 255
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\\\\]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# NTFS ignores dots and blanks at the end of a name, and takes what follows a colon for a stream of the file.
_GIT_ON_NTFS = re.compile(r"(?:\.git|git~1)[. ]*(?::.*)?", re.IGNORECASE | re.ASCII)
# What HFS+ ignores in a name (its table of case folding).
_IGNORED_BY_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
# One look for all of the three, since nearly every name is none of them.
_ODD = re.compile(r'[<>:"|?*]|[ .]\Z|\A(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|\Z)', re.IGNORECASE)
_FORBIDDEN_ON_WINDOWS = re.compile(r'[<>:"|?*]')


@dataclass(frozen=True, slots=True)
class Unportable:
    """A path that some systems cannot hold, and why. A disk that can holds the names of `trial` side by side."""

    path: str
    reason: str
    trial: tuple[str, ...]


def check_path(path: str) -> str:
    """Return `path` when it is a plain relative path that is safe on every system; else raise UnsafeError."""
    reason = _unsafe_reason(path)
    if reason:
        raise UnsafeError(
            f"the listing holds an unsafe path, {path!r}: {reason}; nothing was written",
            hint=REFUSED_WHOLE,
            file=path,
        )
    return path


def is_git_folder(part: str) -> bool:
    """True for a name that git, on some file system, would take for `.git`."""
    if _GIT_ON_NTFS.fullmatch(part):
        return True
    return not part.isascii() and _IGNORED_BY_HFS.sub("", part).lower() == ".git"


def fold(path: str) -> str:
    """The form in which two paths that a case-folding or normalising file system mixes up are equal."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def unportable(paths: Iterable[str]) -> tuple[Unportable, ...]:
    """The files of a listing that another system cannot hold: odd names, and names equal once case is folded."""
    found: list[Unportable] = []
    # Each folder and file by its folded path, and the folders that have no twin.
    seen: dict[str, str] = {}
    plain: set[str] = set()
    for path in sorted(paths):
        parts = path.split("/")
        folder = path.rpartition("/")[0]
        first = len(parts) if folder in plain else 1
        for depth in range(first, len(parts) + 1):
            node = path if depth == len(parts) else "/".join(parts[:depth])
            known = seen.setdefault(fold(node), node)
            twin = known.rpartition("/")[2]
            if twin != parts[depth - 1]:
                found.append(
                    Unportable(path, f"{_likeness(twin, parts[depth - 1])} {known!r}", (twin, parts[depth - 1]))
                )
                break
        else:
            plain.add(folder)
            odd = next(((part, reason) for part in parts if (reason := _odd_reason(part))), None)
            if odd:
                found.append(Unportable(path, odd[1], (odd[0],)))
    return tuple(found)


def refuse_unportable(paths: Iterable[str]) -> None:
    """Raise UnsafeError when some system cannot hold all of these paths (the setting `portable`)."""
    odd = unportable(paths)
    if odd:
        raise UnsafeError(
            f"{odd[0].path!r} {odd[0].reason}, and only portable names are allowed; nothing was written",
            hint="to fetch it where the disk can hold it, leave out --portable (or portable = true below [cache])",
            file=odd[0].path,
        )


def _unsafe_reason(path: str) -> str | None:
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "not valid Unicode"
    if not path or len(encoded) > _MOST_BYTES:
        return f"empty or longer than {_MOST_BYTES} bytes"
    if _HIDDEN.search(path):
        return "a control or direction character, or a backslash"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return "absolute, or with an empty, '.' or '..' part"
        if is_git_folder(part):
            return "a part that git takes for its own folder"
        if len(part.encode()) > _MOST_BYTES_OF_PART:
            return f"a part longer than {_MOST_BYTES_OF_PART} bytes"
    return None


def _odd_reason(part: str) -> str | None:
    """The reason why Windows cannot hold a name, as the end of a sentence."""
    if not _ODD.search(part):
        return None
    forbidden = _FORBIDDEN_ON_WINDOWS.search(part)
    if forbidden:
        return f"holds {forbidden[0]!r}, which Windows forbids"
    if part[-1] in " .":
        return "has a part that ends with a blank or a dot, which Windows drops"
    if _RESERVED.fullmatch(part):
        return "has a part that is a device of Windows"
    return None


def _likeness(one: str, other: str) -> str:
    if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other):
        return "differs only in the form of its Unicode from"
    return "differs only in the case of letters from"
