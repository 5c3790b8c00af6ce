"""Rows of the registry's pages: plain texts, each of a bounded length, and not too many. No I/O.

Names of files and keys, origins and people come from manifests, cards and proxies: a page escapes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.core.text import printable, redacted
from orchestrator.registry.audit import Deed, TrailEvent
from orchestrator.registry.contents import FileDelta, KeyDelta, VersionDifference, VersionFacts
from orchestrator.registry.ledger import ModelLedger
from orchestrator.registry.versions import Version

MOST_VERSIONS = 50
"""Versions with a row. Behind them are those that can be compared."""
_MOST_CHOICES = 500
_MOST_FILES, _MOST_KEYS, _MOST_BASES = 500, 300, 4
_LONGEST, _LONGEST_NAME = 160, 48
"""Characters of a text that is shown, and of who somebody is."""
_ENOUGH = 12
"""Digits of a digest that are shown."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model: its newest release (or what else is newest) with its size and when it was published (unix seconds), its
    aliases with what they stand for."""

    name: str
    newest: str
    size: int
    at: float
    versions: int
    aliases: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class AliasRow:
    """An alias: what it stands for, by whom and when it was moved there (0.0: not known)."""

    name: str
    target: str
    who: str
    at: float


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version. `before` is the one that it is compared with, and `facts` is None where they are not known."""

    version: str
    digest: str
    size: int
    who: str
    at: float
    aliases: tuple[str, ...]
    before: str
    facts: VersionFacts | None


@dataclass(frozen=True, slots=True)
class TrailRow:
    """A change: what a name stood for, and what it stands for since."""

    number: int
    at: float
    who: str
    deed: Deed
    model: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class DifferenceRows:
    """Differences, and how many files and keys have no row. `same` counts files; `fetched` is what somebody lacks who
    has the first."""

    files: Sequence[FileDelta]
    more_files: int
    keys: Sequence[KeyDelta]
    more_keys: int
    same: int
    fetched: int
    is_equal: bool


def shown(text: str, most: int = _LONGEST) -> str:
    """A text from outside as a page has it."""
    return printable(text) if len(text) <= most else f"{printable(text[:most])}…"


def target(ledger: ModelLedger, digest: str) -> str:
    """The name of a digest: its version, or its first digits; nothing for none."""
    version = ledger.version_of(digest) if digest else None
    return str(version) if version else digest.removeprefix("sha256:")[:_ENOUGH]


def model_row(name: str, ledger: ModelLedger) -> ModelRow:
    """The row of a model."""
    newest = max(ledger.versions, key=lambda one: (not one.prerelease, one), default=None)
    edition = ledger.versions[newest] if newest else None
    aliases = ((alias, one.digest) for alias, one in sorted(ledger.aliases.items()) if one.digest)
    return ModelRow(
        name,
        str(newest or ""),
        edition.size if edition else 0,
        edition.at if edition else 0.0,
        len(ledger.versions),
        tuple((alias, target(ledger, digest)) for alias, digest in aliases),
    )


def alias_rows(ledger: ModelLedger, trail: Iterable[TrailEvent]) -> list[AliasRow]:
    """The aliases of a model; its trail says who moved them."""
    moved = {(event.name, event.after): event for event in trail if event.deed is not Deed.PUBLISH}
    rows = []
    for name, alias in sorted(ledger.aliases.items()):
        if (digest := alias.digest) is not None:
            event = moved.get((name, digest))
            who, at = (shown(event.who, _LONGEST_NAME), event.at) if event else ("", 0.0)
            rows.append(AliasRow(name, target(ledger, digest), who, at))
    return rows


def newest_versions(ledger: ModelLedger) -> list[Version]:
    """The versions of a model that have a row, the newest first."""
    return sorted(ledger.versions, reverse=True)[:MOST_VERSIONS]


def version_rows(ledger: ModelLedger, facts: Mapping[str, VersionFacts]) -> list[VersionRow]:
    """The newest versions of a model; `facts` are known by the digests of the manifests."""
    ordered = sorted(ledger.versions, reverse=True)
    aliases: dict[str, list[str]] = {}
    for name, alias in sorted(ledger.aliases.items()):
        aliases.setdefault(alias.digest or "", []).append(name)
    rows = []
    for version, before in zip(ordered[:MOST_VERSIONS], [*map(str, ordered[1:]), ""], strict=False):
        one = ledger.versions[version]
        known = facts.get(one.digest)
        rows.append(
            VersionRow(
                str(version),
                one.digest,
                one.size,
                shown(one.who, _LONGEST_NAME),
                one.at,
                tuple(aliases.get(one.digest, ())),
                before,
                _as_shown(known) if known else None,
            )
        )
    return rows


def choices(ledger: ModelLedger) -> list[str]:
    """The aliases and versions of which two can be compared."""
    aliases = sorted(name for name, alias in ledger.aliases.items() if alias.digest)
    return [*aliases, *map(str, sorted(ledger.versions, reverse=True)[:_MOST_CHOICES])]


def trail_row(event: TrailEvent, ledger: ModelLedger) -> TrailRow:
    """The row of a change; the ledger of its model knows what digests are called."""
    before = "" if event.deed is Deed.SIGN else target(ledger, event.before)
    is_version = event.deed in (Deed.PUBLISH, Deed.SIGN) or event.version == event.name
    after = "" if is_version else target(ledger, event.after)
    who, name = shown(event.who, _LONGEST_NAME), shown(event.name)
    return TrailRow(event.number, event.at, who, event.deed, event.model, name, before, after)


def difference_rows(found: VersionDifference) -> DifferenceRows:
    """The rows of a difference."""
    files = [FileDelta(shown(one.path), one.before, one.after) for one in found.files[:_MOST_FILES]]
    keys = [KeyDelta(shown(one.key), _value(one.before), _value(one.after)) for one in found.config[:_MOST_KEYS]]
    return DifferenceRows(
        files,
        len(found.files) - len(files),
        keys,
        len(found.config) - len(keys),
        found.same,
        found.bytes_to_fetch,
        not found.files and not found.config,
    )


def _value(text: str | None) -> str | None:
    return None if text is None else shown(text)


def _as_shown(facts: VersionFacts) -> VersionFacts:
    source = redacted(facts.source[: 2 * _LONGEST])
    return VersionFacts(
        shown(source.partition("://")[2] or source),
        shown(facts.revision)[:_ENOUGH],
        tuple(map(shown, facts.bases[:_MOST_BASES])),
        facts.is_signed,
    )
