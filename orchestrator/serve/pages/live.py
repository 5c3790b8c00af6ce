"""The live state of a server, as the page shows it: one document of plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator import __version__
from orchestrator.core.text import printable
from orchestrator.serve.http.exchange import Presence
from orchestrator.serve.pages.condition import Check, Condition
from orchestrator.serve.pages.intake import Intake, IntakeState
from orchestrator.serve.pages.traffic import Traffic
from orchestrator.upkeep.contents import Contents

_MOST_ROWS = 50
_MOST_REPOS = 200


@dataclass(frozen=True, slots=True)
class TransferRow:
    """A file on its way; `key` tells it from others of its name, `waiting` counts the clients that wait for it."""

    key: str
    name: str
    phase: str
    done: int
    total: int
    speed: int
    waiting: int


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source; `sent` are all bytes that it sent."""

    name: str
    rate: int
    connections: int
    sent: int
    lies: int
    is_quarantined: bool


@dataclass(frozen=True, slots=True)
class RepoRow:
    """A repo of the cache. `last_use` is unix seconds."""

    name: str
    size: int
    last_use: float
    revisions: int


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client. `hits` are answers without a fetch of their own; `active` answers are under way."""

    name: str
    requests: int
    sent: int
    hits: int
    misses: int
    last: float
    active: int


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """An answer that has ended."""

    number: int
    name: str
    client: str
    status: int
    found: Presence | None
    is_whole: bool
    sent: int
    seconds: float


@dataclass(frozen=True, slots=True)
class NewsRow:
    """A remark; `at` is unix seconds."""

    number: int
    at: float
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Live:
    """Everything on the page. `at` is unix seconds; None is what is not known yet."""

    at: float
    version: str
    requests: int
    sent: int
    fetched: int
    found: Mapping[str, int]
    transfers: Sequence[TransferRow]
    sources: Sequence[SourceRow]
    repos: Sequence[RepoRow]
    clients: Sequence[ClientRow]
    answers: Sequence[AnswerRow]
    news: Sequence[NewsRow]
    checks: Sequence[Check]
    cache_size: int | None
    disk_free: int | None
    disk_total: int | None


def live(
    traffic: Traffic, intake: Intake, condition: Condition | None, contents: Contents | None, *, now: float
) -> Live:
    """The state at `now`, in unix seconds."""
    state = intake.state()
    return Live(
        at=now,
        version=__version__,
        requests=traffic.requests,
        sent=traffic.sent,
        fetched=sum(taken.sent for _, taken in state.sources),
        found={str(found): traffic.found[found] for found in Presence},
        transfers=_transfers(state, traffic),
        sources=_sources(state),
        repos=_repos(contents),
        clients=_clients(traffic),
        answers=_answers(traffic),
        news=[NewsRow(one.number, one.at, one.code, one.message) for one in reversed(state.news)][:_MOST_ROWS],
        checks=condition.checks if condition else (),
        cache_size=contents.size if contents else None,
        disk_free=condition.free if condition else None,
        disk_total=condition.total if condition else None,
    )


def _transfers(state: IntakeState, traffic: Traffic) -> list[TransferRow]:
    waiting: dict[str, int] = {}
    for exchange in traffic.under_way:
        waiting[str(exchange.blob)] = waiting.get(str(exchange.blob), 0) + 1
    # Those that move first, and each in its place as long as it does.
    shown = sorted(state.transfers, key=lambda one: not one.speed)[:_MOST_ROWS]
    return [
        TransferRow(
            str(one.digest),
            printable(traffic.names.get(one.digest, one.name)),
            one.phase,
            one.done,
            one.total,
            one.speed,
            waiting.get(str(one.digest), 0),
        )
        for one in shown
    ]


def _sources(state: IntakeState) -> list[SourceRow]:
    return [
        SourceRow(name, round(one.rate), one.connections, one.sent, one.lies, one.is_quarantined)
        for name, one in state.sources
    ]


def _repos(contents: Contents | None) -> list[RepoRow]:
    if contents is None:
        return []
    rows = [
        RepoRow(
            printable(held.repo.url_path),
            held.size,
            max((revision.last_use for revision in held.revisions), default=0.0),
            len(held.revisions),
        )
        for held in contents.repos
    ]
    return sorted(rows, key=lambda row: -row.last_use)[:_MOST_REPOS]


def _clients(traffic: Traffic) -> list[ClientRow]:
    active: dict[str, int] = {}
    for exchange in traffic.under_way:
        active[exchange.who] = active.get(exchange.who, 0) + 1
    last = list(reversed(traffic.clients.items()))[:_MOST_ROWS]
    return [
        ClientRow(
            printable(name),
            tally.requests,
            tally.sent,
            tally.found[Presence.HIT] + tally.found[Presence.ARRIVING],
            tally.found[Presence.MISS],
            tally.last,
            active.get(name, 0),
        )
        for name, tally in last
    ]


def _answers(traffic: Traffic) -> list[AnswerRow]:
    return [
        AnswerRow(
            number,
            printable(exchange.name or exchange.path.decode("ascii", "backslashreplace")[:300]),
            printable(exchange.who),
            exchange.status,
            exchange.found,
            exchange.is_whole,
            exchange.sent,
            round(exchange.seconds, 3),
        )
        for number, exchange in reversed(traffic.recent)
    ]
