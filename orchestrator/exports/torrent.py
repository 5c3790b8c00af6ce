"""BitTorrent files, version 1: a model as a folder that is called as its commit is.

So a folder of the cache that holds snapshots can be seeded as it is, and the address of a web seed (BEP 19), to which a
client adds the names of the folder and of the file, becomes a resolve URL. The files are in the order of their paths,
and nothing in `info` comes from the machine: all who have the model make the same torrent, and join the same swarm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from orchestrator.core.sources import Origin, Source

_LEAST, _MOST, _PIECES = 256 << 10, 32 << 20, 2048

Bencoded = int | str | bytes | list["Bencoded"] | dict[str, "Bencoded"]


@dataclass(frozen=True, slots=True)
class TorrentFile:
    """A file of a torrent: its path in the repo, and its bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Torrent:
    """A torrent. `seeds` are the addresses of web seeds, `trackers` those to announce to, `comment` is for people."""

    name: str
    files: tuple[TorrentFile, ...]
    piece: int
    hashes: bytes
    seeds: Sequence[str] = ()
    trackers: Sequence[str] = ()
    comment: str = ""
    made_by: str = ""

    @property
    def info_hash(self) -> str:
        """The name of the swarm, in hex."""
        return hashlib.sha1(bencode(self._info), usedforsecurity=False).hexdigest()

    def __bytes__(self) -> bytes:
        """The file's content."""
        known: dict[str, Bencoded] = {"info": self._info}
        if self.trackers:
            known |= {"announce": self.trackers[0], "announce-list": [[each] for each in self.trackers]}
        if self.seeds:
            known["url-list"] = list(self.seeds)
        return bencode(known | {"comment": self.comment, "created by": self.made_by})

    @property
    def _info(self) -> dict[str, Bencoded]:
        files: list[Bencoded] = [{"length": file.size, "path": list(file.path.split("/"))} for file in self.files]
        return {"files": files, "name": self.name, "piece length": self.piece, "pieces": self.hashes}


def piece_length(size: int) -> int:
    """The bytes of a piece of a model of `size` bytes: a power of two, for about 1,000 to 2,000 pieces; fewer below
    256 MiB, more beyond 64 GiB."""
    return min(max(1 << max(0, -(-size // _PIECES) - 1).bit_length(), _LEAST), _MOST)


class TorrentHasher:
    """Computes the hashes of pieces, which run across the ends of files."""

    __slots__ = ("_hash", "_hashes", "_left", "_piece")

    def __init__(self, piece: int) -> None:
        self._piece, self._left = piece, piece
        self._hash, self._hashes = hashlib.sha1(usedforsecurity=False), bytearray()

    def update(self, data: memoryview) -> None:
        """Add the next bytes."""
        while len(data) >= self._left:
            self._hash.update(data[: self._left])
            data = data[self._left :]
            self._hashes += self._hash.digest()
            self._hash, self._left = hashlib.sha1(usedforsecurity=False), self._piece
        if data:
            self._hash.update(data)
            self._left -= len(data)

    def hashes(self) -> bytes:
        """Those of all bytes so far."""
        return bytes(self._hashes) + (self._hash.digest() if self._left < self._piece else b"")


def web_seeds(origin: Origin, sources: Iterable[Source]) -> tuple[str, ...]:
    """The addresses to which a client adds `/`, the commit and a path of `origin`'s repo, to have a file's address.

    They hold no credential. A source that spells its addresses in another way is left out.
    """
    tail = f"{origin.commit}/{quote(origin.path)}"
    urls = (source.file_url(origin) for source in sources)
    return tuple(url.removesuffix(tail) for url in urls if url.endswith(f"/{tail}"))


def bencode(value: Bencoded) -> bytes:
    """The form of BEP 3; keys of a dictionary in the order of their bytes."""
    match value:
        case int():
            return b"i%de" % value
        case str():
            return bencode(value.encode())
        case bytes():
            return b"%d:%s" % (len(value), value)
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            items = sorted((key.encode(), item) for key, item in value.items())
            return b"d" + b"".join(bencode(key) + bencode(item) for key, item in items) + b"e"
