"""Files of an image before they are a layer: from packages of Debian, from folders, and some of our own."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

UNNEEDED = frozenset(
    {"debconf", "debianutils", "dpkg", "mawk", "openssl", "openssl-provider-legacy", "readline-common", "tar"}
    | {
        "libacl1",
        "libdb5.3t64",
        "libmd0",
        "libncursesw6",
        "libpcre2-8-0",
        "libreadline8t64",
        "libselinux1",
        "libtinfo6",
    }
)
"""What the others need to be installed, and for modules of Python that nothing here imports."""
_SHARED = "usr/share/"
_DROPPED = (
    *(
        f"{_SHARED}{name}/"
        for name in ("bash-completion", "bug", "info", "lintian", "locale", "man", "menu", "pixmaps")
    ),
    "usr/lib/systemd/",
    "etc/cron.daily/",
    "etc/logrotate.d/",
    "etc/update-motd.d/",
)
_KEPT_OF_DOC = "copyright"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link: `kind` is that of tarfile, `target` that of a link."""

    kind: bytes
    mode: int
    content: bytes = b""
    target: str = ""
    owner: int = 0

    @classmethod
    def file(cls, content: bytes, mode: int = 0o644) -> Entry:
        return cls(tarfile.REGTYPE, mode, content)

    @classmethod
    def folder(cls, mode: int = 0o755, owner: int = 0) -> Entry:
        return cls(tarfile.DIRTYPE, mode, owner=owner)


Tree = dict[str, Entry]


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A package by its control file."""

    name: str
    version: str
    architecture: str
    control: bytes


def unpacked(deb: Path) -> tuple[DebianPackage, Tree]:
    """A package and its files, without pages of the manual, translations and the like."""
    control = subprocess.run(["dpkg-deb", "-f", deb], capture_output=True, check=True).stdout
    fields = HeaderParser().parsestr(control.decode())
    package = DebianPackage(fields["Package"], fields["Version"], fields["Architecture"], control)
    found: Tree = {}
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as opened,
        tarfile.open(fileobj=opened.stdout, mode="r|") as archive,
    ):
        for member in archive:
            name = str(PurePosixPath(member.name))
            if name == "." or _is_dropped(name):
                continue
            file = archive.extractfile(member) if member.isfile() else None
            content = file.read() if file else b""
            target = str(PurePosixPath(member.linkname)) if member.islnk() else member.linkname
            found[name] = Entry(member.type, member.mode, content, target)
    if opened.returncode:
        raise SystemExit(f"{deb} cannot be read")
    return package, found


def _is_dropped(name: str) -> bool:
    if name.startswith("usr/share/doc/"):
        return PurePosixPath(name).name != _KEPT_OF_DOC and len(PurePosixPath(name).parts) > 4
    return f"{name}/".startswith(_DROPPED)


def of_folder(folder: Path, at: str) -> Tree:
    """The files of a folder at a place of the image."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = f"{at}/{path.relative_to(folder)}"
        if path.is_symlink():
            found[name] = Entry(tarfile.SYMTYPE, 0o777, target=str(path.readlink()))
        elif path.is_dir():
            found[name] = Entry.folder()
        else:
            found[name] = Entry.file(path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644)
    return found


def write(tree: Tree, folder: Path) -> None:
    """Put the files into a folder, without their owners."""
    for name in sorted(tree):
        entry, path = tree[name], folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind == tarfile.DIRTYPE:
            path.mkdir(exist_ok=True)
        elif entry.kind == tarfile.SYMTYPE:
            path.symlink_to(entry.target)
        elif entry.kind == tarfile.LNKTYPE:
            path.write_bytes(tree[entry.target].content)
            path.chmod(tree[entry.target].mode)
        else:
            path.write_bytes(entry.content)
            path.chmod(entry.mode)


def with_parents(tree: Tree) -> Tree:
    """The same with each folder above a file; a folder that is a link in the tree stays one."""
    found = dict(tree)
    for name in tree:
        for parent in PurePosixPath(name).parents:
            if str(parent) != "." and str(parent) not in found:
                found[str(parent)] = Entry.folder()
    return found


def merged(trees: Iterable[Tree]) -> Tree:
    """All of these in one."""
    found: Tree = {}
    for tree in trees:
        found.update(tree)
    return found
