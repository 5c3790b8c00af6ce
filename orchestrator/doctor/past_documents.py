"""Reports of `history` and `config tune`, as the data of their JSON documents.

Times are seconds, moments unix seconds, rates bytes a second; None is what could not be measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from orchestrator.doctor.history import Past
from orchestrator.doctor.slowdowns import Slowdown
from orchestrator.doctor.tuning import Change
from orchestrator.documents import Amount, Count


@dataclass(frozen=True, slots=True)
class SentBySource:
    """The share of one source in a pull."""

    bytes: Count
    rate: Amount | None


@dataclass(frozen=True, slots=True)
class PastPull:
    """A pull of a model: when it ended, the bytes that came in it, how long it took, and who sent them."""

    at: Amount
    model: str
    bytes: Count
    seconds: Amount
    rate: Amount | None
    sources: Mapping[str, SentBySource]

    @classmethod
    def of(cls, one: Past) -> Self:
        """The entry of a pull."""
        sources = {name: SentBySource(sent, one.rate_of(name)) for name, sent in one.sources.items()}
        return cls(one.at, one.model, one.came, one.seconds, one.rate, sources)


@dataclass(frozen=True, slots=True)
class SlowdownEntry:
    """A source that was `times` slower in the pull that ended `at` than it usually is, in the median of `pulls` earlier
    ones at such an hour. `message` says which these are."""

    source: str
    at: Amount
    rate: Amount
    usual: Amount
    times: Amount
    pulls: Count
    message: str

    @classmethod
    def of(cls, one: Slowdown) -> Self:
        """The entry of a slowdown."""
        return cls(one.source, one.at, one.rate, one.usual, round(one.times, 2), one.pulls, one.message)


@dataclass(frozen=True, slots=True)
class HistoryDocument:
    """The data of `history`: pulls, the oldest first, and the sources that were slow in their last one of these."""

    pulls: tuple[PastPull, ...]
    slowdowns: tuple[SlowdownEntry, ...]

    @classmethod
    def of(cls, past: Iterable[Past], slow: Iterable[Slowdown] = ()) -> Self:
        """The data of pulls that are remembered, and of slowdowns in them."""
        return cls(tuple(map(PastPull.of, past)), tuple(map(SlowdownEntry.of, slow)))


SettingValue = Count | Amount | str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class ChangeEntry:
    """A setting that would fit better; `key` as in the settings file."""

    key: str
    old: SettingValue
    new: SettingValue
    reason: str

    @classmethod
    def of(cls, change: Change) -> Self:
        """The entry of a change."""
        return cls(change.key, _plain(change.old), _plain(change.new), change.reason)


@dataclass(frozen=True, slots=True)
class TuneDocument:
    """The data of `config tune`: the file, whether it was written, and what changes in it."""

    file: str
    written: bool
    changes: tuple[ChangeEntry, ...]
    diff: tuple[str, ...]


def _plain(value: Any) -> SettingValue:
    return tuple(source.url for source in value) if isinstance(value, tuple) else value
