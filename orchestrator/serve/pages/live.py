"""The live state of a server, as the page shows it: one document of plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator import __version__
from orchestrator.core.text import printable
from orchestrator.serve.http.exchange import Exchange, Presence
from orchestrator.serve.pages.condition import Check
from orchestrator.serve.pages.fleet import FleetRows, rows_of
from orchestrator.serve.pages.intake import Intake, IntakeState
from orchestrator.serve.pages.looking import Looks
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
    """Everything on the page. `at` is unix seconds; None is what is not known yet, or not there: a fleet, say. A name
    that may not be seen is empty; with `is_whole` all are there."""

    at: float
    version: str
    is_whole: bool
    requests: int
    sent: int
    sent_to_peers: int
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
    cache_limit: int | None
    fleet: FleetRows | None


@dataclass(frozen=True, slots=True)
class View:
    """The part of the state that somebody may see. `is_whole`: also closed repos; else no name of one, nor of what may
    be one. `is_gated`: the server fetches them for whom it knows."""

    is_whole: bool
    is_gated: bool = False

    def name_of(self, exchange: Exchange) -> str:
        """The file of an answer, or the path that was refused; empty where it may not be seen."""
        if self.is_whole or (exchange.name and not exchange.is_closed):
            return printable(exchange.name or exchange.path.decode("ascii", "backslashreplace")[:300])
        return ""


def live(
    traffic: Traffic,
    intake: Intake,
    looks: Looks,
    *,
    view: View,
    now: float,
) -> Live:
    """The state at `now`, in unix seconds."""
    state, condition, contents = intake.state(), looks.condition, looks.contents
    return Live(
        at=now,
        version=__version__,
        is_whole=view.is_whole,
        requests=traffic.requests,
        sent=traffic.sent,
        sent_to_peers=traffic.sent_to_peers,
        fetched=sum(taken.sent for _, taken in state.sources),
        found={str(found): traffic.found[found] for found in Presence},
        transfers=_transfers(state, traffic, view),
        sources=_sources(state),
        repos=_repos(contents, view),
        clients=_clients(traffic),
        answers=_answers(traffic, view),
        news=_news(state, view),
        checks=condition.told(is_whole=view.is_whole) if condition else (),
        cache_size=contents.size if contents else None,
        disk_free=condition.free if condition else None,
        disk_total=condition.total if condition else None,
        cache_limit=looks.max_size,
        fleet=rows_of(looks.fleet, is_whole=view.is_whole) if looks.fleet else None,
    )


def _transfers(state: IntakeState, traffic: Traffic, view: View) -> list[TransferRow]:
    waiting = Counter(exchange.blob for exchange in traffic.under_way)
    wanted = traffic.wanted
    # Those that move first, and each in its place as long as it does.
    shown = sorted(state.transfers, key=lambda one: not one.speed)[:_MOST_ROWS]
    rows = []
    for one in shown:
        exchange = wanted.get(one.digest)
        known = view.name_of(exchange) if exchange is not None else ""
        is_open = exchange is None and (view.is_whole or not view.is_gated)
        name = printable(one.name) if is_open else known
        rows.append(TransferRow(str(one.digest), name, one.phase, one.done, one.total, one.speed, waiting[one.digest]))
    return rows


def _sources(state: IntakeState) -> list[SourceRow]:
    return [
        SourceRow(name, round(one.rate), one.connections, one.sent, one.lies, one.is_quarantined)
        for name, one in state.sources
    ]


def _repos(contents: Contents | None, view: View) -> list[RepoRow]:
    rows = [
        RepoRow(
            printable(held.repo.url_path),
            held.size,
            max((revision.last_use for revision in held.revisions), default=0.0),
            len(held.revisions),
        )
        for held in (contents.repos if contents else ())
        if view.is_whole or (held.revisions and all(revision.is_open for revision in held.revisions))
    ]
    return sorted(rows, key=lambda row: -row.last_use)[:_MOST_REPOS]


def _clients(traffic: Traffic) -> list[ClientRow]:
    active = Counter(exchange.who for exchange in traffic.under_way)
    last = list(reversed(traffic.clients.items()))[:_MOST_ROWS]
    return [
        ClientRow(
            printable(name),
            tally.requests,
            tally.sent,
            tally.found[Presence.HIT] + tally.found[Presence.ARRIVING],
            tally.found[Presence.MISS],
            tally.last,
            active[name],
        )
        for name, tally in last
    ]


def _answers(traffic: Traffic, view: View) -> list[AnswerRow]:
    return [
        AnswerRow(
            number,
            view.name_of(exchange),
            printable(exchange.who),
            exchange.status,
            exchange.found,
            exchange.is_whole,
            exchange.sent,
            round(exchange.seconds, 3),
        )
        for number, exchange in reversed(traffic.recent)
    ]


def _news(state: IntakeState, view: View) -> list[NewsRow]:
    rows = []
    for one in reversed(state.news):
        may_see = view.is_whole or not (one.names_repo or view.is_gated)
        rows.append(NewsRow(one.number, one.at, one.code, one.message if may_see else ""))
    return rows[:_MOST_ROWS]
