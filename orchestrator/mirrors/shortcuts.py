"""Predicted redirects of a site for small files: one request for a file instead of two.

The Hub answers `resolve` for a file that git keeps with 307 to another address on itself (`/api/resolve-cache/...`,
which huggingface_hub 2.4 follows, too). That address is made of the repo, the commit, the path and git's hash, all of
which a listing tells. So the redirect of one file is taken as a pattern, and the next ones are asked for where it says.
An answer there counts only if it announces the file's own hash; the first that does not ends it, and a site whose
redirects cannot be foretold, or that has none, is asked for its plain addresses as ever.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.sources import Origin, Source
from orchestrator.net.addresses import place

_SLASHES = ("/", "%2F", "%252F")
# All else is spelled alike, however often it is quoted. A shorter path may be found in an address by chance.
_REGULAR = re.compile(r"[A-Za-z0-9._~/-]{6,}")
# A request for one of these at its plain address is what the Hub counts as a download of a model (its documentation,
# "Models Download Stats"). Who made the model shall not lose it.
_COUNTED = frozenset({"config.json", "config.yaml", "hyperparams.yaml", "meta.yaml"})

_Kind = tuple[str, str, int, bool]
_Gap = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Pattern:
    """An address with gaps: text, and for each gap the name of what belongs there and how it spells a slash."""

    parts: tuple[str | _Gap, ...]

    @classmethod
    def of(cls, url: str, origin: Origin, digest: Digest) -> Pattern | None:
        """The pattern of the address of this file; None when it does not tell which file it is."""
        gaps = {text: gap for gap, text in _spelled(origin, digest).items()}
        start = url.index("//") + 2 + len(urlsplit(url).netloc)
        finder = re.compile("|".join(re.escape(text) for text in sorted(gaps, key=len, reverse=True)))
        parts: list[str | _Gap] = []
        done = 0
        for found in finder.finditer(url, start):
            parts += [url[done : found.start()], gaps[found[0]]]
            done = found.end()
        parts.append(url[done:])
        named = {part[0] for part in parts if isinstance(part, tuple)}
        return cls(tuple(parts)) if named & {"path", "digest"} else None

    def fill(self, origin: Origin, digest: Digest) -> str:
        """The address of another file."""
        spelled = _spelled(origin, digest)
        return "".join(part if isinstance(part, str) else spelled[part] for part in self.parts)


class Shortcuts:
    """The redirects that a run learned from its sources. Thread-safe: a late thread learns the same again."""

    def __init__(self) -> None:
        self._patterns: dict[_Kind, Pattern | None] = {}

    def address(self, source: Source, origin: Origin, digest: Digest) -> str | None:
        """The likely address of the file; None for its plain address. Trusted only if its headers match."""
        pattern = self._patterns.get(_kind(source, origin)) if _is_regular(origin, digest) else None
        return pattern.fill(origin, digest) if pattern else None

    def learn(self, source: Source, origin: Origin, digest: Digest, url: str) -> None:
        """The redirects for the file's plain address ended at `url`."""
        kind, plain = _kind(source, origin), source.file_url(origin)
        if kind in self._patterns or not _is_regular(origin, digest):
            return
        # Elsewhere an address is another site's, and signed.
        is_here = url != plain and place(url) == place(plain)
        self._patterns[kind] = Pattern.of(url, origin, digest) if is_here else None

    def distrust(self, source: Source, origin: Origin) -> None:
        """Stop predicting: a predicted address was wrong, so use plain ones from now on."""
        self._patterns[_kind(source, origin)] = None


def _kind(source: Source, origin: Origin) -> _Kind:
    """Addresses of one kind have one pattern."""
    return source.name, origin.repo.type, origin.repo.name.count("/"), "/" in origin.path


def _is_regular(origin: Origin, digest: Digest) -> bool:
    is_known_by_git = digest.algorithm is Algorithm.GIT_SHA1
    return is_known_by_git and origin.path not in _COUNTED and _REGULAR.fullmatch(origin.path) is not None


def _spelled(origin: Origin, digest: Digest) -> dict[_Gap, str]:
    fields = {"repo": origin.repo.name, "commit": origin.commit, "digest": digest.hex, "path": origin.path}
    return {(name, slash): text.replace("/", slash) for name, text in fields.items() for slash in _SLASHES}
