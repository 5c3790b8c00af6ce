"""Listings that lie, in the words of either catalog: which entry is changed, and how."""

from __future__ import annotations

import gzip
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.hub.content import git_blob_oid, lfs_pointer
from tests.hub.faults import Fault

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a catalog writes the entries of a listing; `glob` is the address of its answer."""

    glob: str
    path: str
    size: str

    def entries(self, value: Any) -> list[Entry]:
        found: list[Entry] = value["Data"]["Files"] if self is MODELSCOPE else value
        return found

    def is_file(self, entry: Entry) -> bool:
        return bool(entry["Type"] == "blob" if self is MODELSCOPE else entry["type"] == "file")

    def resize(self, entry: Entry, size: object) -> None:
        entry[self.size] = size
        if "lfs" in entry:
            entry["lfs"]["size"] = size
            if isinstance(size, int):
                entry["oid"] = git_blob_oid(lfs_pointer(entry["lfs"]["oid"], size))

    def redigest(self, entry: Entry, digest: str) -> None:
        if self is MODELSCOPE:
            entry["Sha256"] = digest
        elif "lfs" in entry:
            entry["lfs"]["oid"] = digest
        else:
            entry["oid"] = digest


HUGGINGFACE = Dialect("/api/models/*/tree/*", "path", "size")
MODELSCOPE = Dialect("/api/v1/models/*/repo/files", "Path", "Size")
Edit = Callable[[Random, Dialect, list[Entry]], object]
"""Changes the files of a listing in place, or returns bytes to be sent instead."""


@dataclass(frozen=True, slots=True)
class Lie:
    """A row about listings, and the exit code of a run that is told it."""

    row: int
    name: str
    edit: Edit
    code: int
    words: tuple[str, ...] = ()
    """Options without which it is no reason to refuse anything."""


def fault(lie: Lie, dialect: Dialect, random: Random) -> Fault:
    """The fault that tells the lie whenever the listing is asked for; the seed is drawn once."""
    drawn = random.random()

    def edit(value: Any) -> Any:
        entries = dialect.entries(value)
        files = [entry for entry in entries if dialect.is_file(entry)]
        instead = lie.edit(Random(drawn), dialect, files)
        if isinstance(instead, bytes):
            return instead
        known = {id(entry) for entry in entries}
        entries += [entry for entry in files if id(entry) not in known]
        return value

    headers = {"Content-Encoding": "gzip"} if lie.edit is bomb else {}
    return Fault("lying_listing", dialect.glob, edit=edit, headers=headers)


# -- names


def named(*names: str) -> Edit:
    """One file gets one of these names, `{}` being its old one."""

    def edit(random: Random, dialect: Dialect, files: list[Entry]) -> None:
        entry = random.choice(files)
        entry[dialect.path] = random.choice(names).replace("{}", entry[dialect.path])

    return edit


def twins(*pairs: tuple[str, str]) -> Edit:
    """Two files get names that are one on some disks."""

    def edit(random: Random, dialect: Dialect, files: list[Entry]) -> None:
        pair = random.choice(pairs)
        for entry, name in zip(random.sample(files, 2), pair, strict=True):
            entry[dialect.path] = name

    return edit


def two_digests(random: Random, dialect: Dialect, files: list[Entry]) -> None:
    """A path is listed again, as another file."""
    one, other = random.sample(files, 2)
    files.append({**other, dialect.path: one[dialect.path]})


def digest(random: Random, dialect: Dialect, files: list[Entry]) -> None:
    """A digest that is no digest."""
    bad = random.choice(["../" + "0" * 61, "0" * 63, "0" * 65, "G" * 64, "0" * 63 + "/", "0" * 64 + "\n", ""])
    dialect.redigest(random.choice(files), bad)


def size(random: Random, dialect: Dialect, files: list[Entry]) -> None:
    """A size that no file has."""
    dialect.resize(random.choice(files), random.choice([-1, -(2**63), 2**63, 2**64, 10**30, 1.5, "12", None, True]))


# -- too much of it


def padding(_random: Random, _dialect: Dialect, _files: list[Entry]) -> bytes:
    """100 MB that are JSON."""
    return b"[" + b" " * 100_000_000 + b"]"


def bomb(_random: Random, _dialect: Dialect, _files: list[Entry]) -> bytes:
    """100 MB that arrive as 100 KB."""
    return gzip.compress(b"[" + b" " * 100_000_000 + b"]", 6)


def million(random: Random, _dialect: Dialect, _files: list[Entry]) -> bytes:
    """A million entries and more, in an answer that is not too long."""
    entry = random.choice([b"{}", b"[]", b"1", b'{"type":"directory"}', b'{"Type":"tree","Path":"a"}'])
    return b"[" + b",".join([entry] * ((31 << 20) // (len(entry) + 1))) + b"]"


def deep(random: Random, _dialect: Dialect, _files: list[Entry]) -> bytes:
    """JSON that is nested deeper than anything can be read."""
    depth = random.choice([100, 10_000, 1_000_000])
    opening, closing = random.choice([(b"[", b"]"), (b'{"a":', b"}")])
    return opening * depth + b"1" + closing * depth


GIT = (
    ".git/config",
    ".GIT/x",
    "a/.git",
    "a/git~1/HEAD",
    ".git./x",
    ".git::$INDEX_ALLOCATION/x",
    ".g\u200cit/x",
    ".git ",
)
DEVICES = ("CON", "nul.txt", "a/Com1", "x.", "x ", "a./b", "LPT¹", "aux.json", "D:x", "c:/x", "a?b", "a*", "a<b", "a|b")
FOLDED = (("A", "a"), ("Sub/x", "sub/y"), ("straße", "STRASSE"), ("config.JSON", "CONFIG.json"), ("X", "x/y"))
COMPOSED = ("é", "각", "Å/x")
BOTH_FORMS = tuple((unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)) for name in COMPOSED)
CONTROLS = ("a\0b", "a\nb", "a\rb", "\x1b[31mred", "\x1b]0;title\x07", "\x9b2J", "a\u202eb", "\x7f")

PORTABLE = ("--portable",)

TABLE = (
    Lie(21, "dot dot", named("../x", "../../{}", "a/../../x", "..", "a/..", "./x"), 80),
    Lie(22, "absolute path", named("/{}", "/etc/cron.d/x", "//{}"), 80),
    Lie(23, "drive letter", named("C:\\{}", "a/C:\\x"), 80),
    Lie(24, "UNC", named("\\\\server\\share\\{}", "\\\\?\\C:\\x", "\\\\.\\pipe\\x"), 80),
    Lie(25, "Windows device or ending", named(*DEVICES), 80, PORTABLE),
    Lie(26, "letter case", twins(*FOLDED), 80, PORTABLE),
    Lie(27, "NFC and NFD", twins(*BOTH_FORMS), 80, PORTABLE),
    Lie(28, "NUL, newline, ESC", named(*CONTROLS), 80),
    Lie(29, "component over 255 bytes", named("x" * 256, "a/" + "é" * 128 + "/b", "/".join(["x" * 200] * 30)), 80),
    Lie(30, "file that is a folder", twins(("x", "x/y"), ("a/b", "a/b/c/d"), ("sub", "sub/y")), 80),
    Lie(31, "digest", digest, 80),
    Lie(32, "one path, two digests", two_digests, 80),
    Lie(33, "100 MB", padding, 76),
    Lie(33, "100 MB, packed", bomb, 76),
    Lie(33, "a million entries", million, 76),
    Lie(33, "deep JSON", deep, 76),
    Lie(34, "size", size, 76),
    Lie(35, "the folder of git", named(*GIT), 80),
)  # fmt: skip
