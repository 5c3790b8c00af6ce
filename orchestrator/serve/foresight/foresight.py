"""Foresight of a server: it fetches what a forecast makes worth it, while nobody else uses the line.

Each deed, and each reason against one, is an event. A client that asks for anything, or a pull of the user's, stops a
fetch at once; what arrived of it is kept, and it goes on when nobody has asked for anything for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from orchestrator.cache.cache import Cache
from orchestrator.core.dialects import DEFAULT
from orchestrator.core.refs import Ref, parse_ref
from orchestrator.core.text import redacted
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, Foreseen, Notice
from orchestrator.lists.request import Item
from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import Forecast
from orchestrator.predict.log import DemandLog
from orchestrator.predict.worth import (
    SPAN,
    GuessTerms,
    Judgement,
    Weighed,
    account_of,
    choose,
    foreseen,
    held_back,
    is_worth,
    likely,
    probability,
    rate_of,
    spare,
)
from orchestrator.serve.access.callers import ANYBODY
from orchestrator.serve.delivery.prefetch import Prefetch, Prefetching
from orchestrator.serve.foresight.guesses import Guess, GuessFile, judged
from orchestrator.serve.foresight.sessions import IDLE, ClientSessions, Session
from orchestrator.serve.foresight.wanted import WantedModels
from orchestrator.serve.http.refusals import Refused
from orchestrator.serve.stock.room import Room

_MOST_ASKED = 20
"""Models that the root is asked about at a look, the most probable first."""
_LARGER = 1.5
"""A model of more than so many times the bytes that a client ever asked for is not what clients ask for."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Conduct:
    """The conduct of a server: `terms`, and whether it only tells what it would do (`is_dry`). It looks again every
    `step` seconds, or `quiet` seconds after the last client has gone, and at the user's pulls every `glance`."""

    terms: GuessTerms
    is_dry: bool = False
    step: float = 900.0
    quiet: float = 30.0
    glance: float = 1.0


@dataclass(frozen=True, slots=True)
class Acting:
    """The things that a server acts upon: `forecast` tells the present one, `is_pulling` whether a pull of the user's
    goes on. Both block. Without a `conduct` it does nothing but note."""

    forecast: Callable[[], Forecast | None]
    is_pulling: Callable[[], bool]
    conduct: Conduct | None


class Foresight:
    """Notes what clients wanted, and acts upon a forecast. For the thread of the event loop, but for `close`; `pool`
    are threads that may block."""

    def __init__(
        self,
        sessions: ClientSessions,
        cache: Cache,
        room: Room,
        prefetching: Prefetching,
        acting: Acting,
        *,
        pool: Executor,
        emit: Emit,
    ) -> None:
        self.sessions = sessions
        self.wanted = WantedModels()
        self._cache = cache
        self._room = room
        self._prefetching = prefetching
        self._forecast = acting.forecast
        self._is_pulling = acting.is_pulling
        self._conduct = acting.conduct
        self._pool = pool
        self._emit = emit
        self._log = DemandLog(cache.state_dir)
        self._file = GuessFile(cache.state_dir)
        self._told: dict[str, tuple[str, str]] = {}
        # Models that were not to be fetched when that was tried: no room is made for them.
        self._unfit: set[str] = set()

    async def run(self) -> None:
        """Look again and again what is worth it, until it is cancelled."""
        while True:
            await self._do(partial(self._note, self.sessions.over()))
            if (conduct := self._conduct) is None:
                await asyncio.sleep(IDLE)
                continue
            self.sessions.stirred.clear()
            try:
                await self._look(conduct)
            except (GlmAriaError, Refused) as error:
                self._say("", "waits", error.message)
            except Exception as bug:  # noqa: BLE001 - the last place: a bug is told here, and the server lives on
                self._emit(Notice("foresight-failed", redacted(f"foresight failed: {type(bug).__name__}: {bug}")))
            await self._rest(conduct)

    def close(self) -> None:
        """Note the sessions that are open yet. To be called when nobody is answered any more."""
        self._note(self.sessions.over(0.0))

    async def _rest(self, conduct: Conduct) -> None:
        """Wait for the next look: for a while, and for longer while clients ask for something."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.sessions.stirred.wait(), conduct.step)
        while self.sessions.quiet < conduct.quiet:
            await asyncio.sleep(max(0.1, conduct.quiet - self.sessions.quiet))

    async def _look(self, conduct: Conduct) -> None:
        """Decide, and fetch what is worth it."""
        now = time.time()
        forecast = await self._do(self._forecast)
        demands = [demand for demand in await self._do(self._log.read) if demand.at > now - SPAN]
        rate = rate_of(demands)
        if not conduct.is_dry:
            self._protect(forecast, now, rate, conduct.terms)
        if forecast is None:
            self._say("", "waits", "there is no forecast of today: glm-aria predict train makes one")
            return
        clock = datetime.now().astimezone()
        is_busy = self.sessions.quiet < conduct.quiet or await self._do(self._is_pulling)
        why = held_back(forecast, 60 * clock.hour + clock.minute, conduct.terms, is_busy=is_busy)
        if why is not None:
            self._say("", "waits", why)
            return
        if rate is None:
            self._say("", "waits", "nobody has waited for a model yet, so nothing tells how fast one comes")
            return
        self._told.pop("", None)
        plans: dict[str, Prefetch] = {}
        for weighed in await self._weigh(forecast, now, demands, rate, conduct, plans):
            if weighed.judgement is not Judgement.FETCH:
                self._say(weighed.model, "leaves", weighed.judgement, weighed)
            elif conduct.is_dry:
                self._say(weighed.model, "would fetch", _because(weighed), weighed)
            elif not await self._fetch(weighed, plans[weighed.model], conduct):
                return

    def _protect(self, forecast: Forecast | None, now: float, rate: float | None, terms: GuessTerms) -> None:
        """Have go first what is the least likely, when a client needs room."""
        seen = foreseen(forecast, now, rate, terms) if forecast is not None and rate is not None else ()
        chances = likely(forecast, now, terms.horizon) if forecast is not None else {}
        if not seen:
            self._room.spare = frozenset()
        self._room.foreseen = frozenset(ref.repo.folder for ref in map(_ref, seen) if ref is not None)
        self._room.likely = {ref.repo.folder: chances[model] for model in chances if (ref := _ref(model)) is not None}

    async def _weigh(  # noqa: PLR0917 - what is foreseen, what was asked for, and the terms
        self,
        forecast: Forecast,
        now: float,
        demands: Sequence[Demand],
        rate: float,
        conduct: Conduct,
        plans: dict[str, Prefetch],
    ) -> tuple[Weighed, ...]:
        """The models that may be worth it with their judgements, and the `plans` of them. The root is asked about those
        alone which would be worth all of their bytes."""
        terms, sizes = conduct.terms, dict[str, int]()
        for demand in demands:
            sizes[demand.model] = max(sizes.get(demand.model, 0), demand.size)
        chances = {model: probability(forecast, model, now, terms.horizon) for model in sizes}
        worth = [model for model, chance in chances.items() if is_worth(chance, rate, terms)]
        missing: dict[str, int] = {}
        for model in sorted(worth, key=lambda model: (-chances[model], model))[:_MOST_ASKED]:
            plan = await self._plan(model, sizes[model])
            if plan is not None:
                plans[model] = plan
                missing[model] = await self._prefetching.missing(plan)
        users = [(demand.at, demand.came) for demand in demands]
        made = await self._do(partial(self._judge, now))
        account = account_of(users, [(guess.at, guess.size, guess.was_used) for guess in made], now)
        room = await self._do(lambda: self._room.guess_room)
        choices = choose(forecast, now, missing, rate, terms, account, room)
        if not conduct.is_dry and self._room.most is not None:
            coming = {choice.model for choice in choices if choice.judgement is Judgement.FETCH}
            come = sum(missing[model] for model in coming)
            away = {model: size for model, size in sizes.items() if model not in coming and model not in self._unfit}
            step = partial(self._spare, away, sizes, rate, room - come, account.credit - come, terms)
            self._room.spare = await self._do(step)
        return choices

    def _spare(  # noqa: PLR0917 - what may be wanted, what may go, and what there is of room
        self, away: Mapping[str, int], sizes: Mapping[str, int], rate: float, room: int, credit: int, terms: GuessTerms
    ) -> frozenset[str]:
        """The folders of what goes the next time that a client needs room, for guesses that are made then."""
        likely, last, snapshots = self._room.likely, self._room.used, self._cache.layout.cache_dir
        known = _by_folder(sizes)
        worth = {
            folder: size
            for folder, size in _by_folder(away).items()
            if is_worth(likely.get(folder, 0.0), rate, terms) and not (snapshots / folder / "snapshots").exists()
        }
        used = {folder: known[folder] for folder in sorted(last, key=lambda folder: last[folder]) if folder in known}
        return spare(worth, used, likely, room, credit, int(terms.kept * (self._room.most or 0)))

    async def _plan(self, model: str, size: int) -> Prefetch | None:
        ref = _ref(model)
        if ref is None:
            return None
        self._unfit.add(model)
        try:
            plan = await self._prefetching.plan(Item(ref), ANYBODY, is_guess=True)
        except (GlmAriaError, Refused) as error:
            self._say(model, "leaves", error.message)
            return None
        if plan.size > _LARGER * size:
            self._say(model, "leaves", "its repo has more than the files that clients ask for")
            return None
        self._unfit.discard(model)
        return plan

    def _judge(self, now: float) -> tuple[Guess, ...]:
        """The guesses with what became of them. For those that somebody used something else goes, so that the next
        ones have room."""
        before = self._file.read()
        uses = self._cache.blobs.on_demand.uses()
        snapshots = self._cache.layout.cache_dir
        here = {guess.revision for guess in before if (snapshots / guess.folder / "snapshots" / guess.commit).exists()}
        after = judged(before, uses, frozenset(here), now)
        if after != before:
            self._file.write(after)
            was_open = {guess.revision for guess in before if guess.was_used is None}
            if any(guess.was_used and guess.revision in was_open for guess in after):
                self._room.make_way()
        return after

    async def _fetch(self, weighed: Weighed, prefetch: Prefetch, conduct: Conduct) -> bool:
        """Fetch a model, and note the guess. False when that was stopped."""
        self._say(weighed.model, "fetches", _because(weighed), weighed)
        began = time.time()
        running = asyncio.ensure_future(self._prefetching.run(prefetch))
        stirred = asyncio.ensure_future(self.sessions.stirred.wait())
        try:
            is_pulling = False
            while not (running.done() or stirred.done() or is_pulling):
                done, _ = await asyncio.wait(
                    (running, stirred), timeout=conduct.glance, return_when=asyncio.FIRST_COMPLETED
                )
                is_pulling = not done and await self._do(self._is_pulling)
        finally:
            is_stopped = not running.done()
            came = prefetch.done - prefetch.present
            for task in (running, stirred):
                task.cancel()
            await asyncio.wait((running, stirred))
        if came:
            model = prefetch.model
            guess = Guess(began, weighed.model, model.ref.repo.folder, model.commit, came)
            await self._do(lambda: self._file.write((*self._file.read(), guess)))
        if is_stopped:
            self._say(weighed.model, "stops", "a client asks for something, or a pull goes on", weighed, came)
            return False
        error = running.exception() or next((why for _, why in prefetch.lost), None)
        if isinstance(error, GlmAriaError | Refused):
            self._say(weighed.model, "fails", error.message, weighed, came)
        elif error is not None:
            raise error
        else:
            self._say(weighed.model, "has fetched", "it is here before anybody asks", weighed, came)
        return True

    def _note(self, over: tuple[Session, ...]) -> None:
        """Count wishes, and write them into the log. That this fails is a loss of history, and of nothing else."""
        if over:
            demands = [session.demand(self._name(session)) for session in over]
            self.wanted.add(demands)
            with suppress(GlmAriaError):
                self._log.add(demands)

    def _name(self, session: Session) -> str:
        """The name by which a model is asked for: clients ask for files by the commit that a branch stands for."""
        ref = session.ref
        if ref.is_commit and ref.catalog is DEFAULT:
            names = self._cache.records.revisions(ref.repo, session.commit)
            name = ref.catalog.main if ref.catalog.main in names else next(iter(names), ref.revision)
            return str(Ref(ref.repo, name))
        return str(ref)

    def _say(self, model: str, deed: str, why: str, weighed: Weighed | None = None, size: int | None = None) -> None:
        """Report a deed, or a reason against one, if it is another one than before."""
        if self._told.get(model) != (deed, why) or deed == "fetches":
            self._told[model] = deed, why
            bytes_ = size if size is not None else weighed.missing if weighed is not None else 0
            self._emit(Foreseen(model, deed, why, bytes_))

    async def _do(self, step: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, step)


def _because(weighed: Weighed) -> str:
    return (
        f"somebody asks for it within the next hours with a probability of {weighed.probability:.0%}; that saves"
        f" {weighed.saves:.0f} s of waiting, and its bytes cost {weighed.costs:.0f} s"
    )


def _by_folder(sizes: Mapping[str, int]) -> dict[str, int]:
    """The bytes of repos by their folders, of the largest of their models that are named."""
    found: dict[str, int] = {}
    for model, size in sizes.items():
        if (ref := _ref(model)) is not None:
            found[ref.repo.folder] = max(size, found.get(ref.repo.folder, 0))
    return found


def _ref(model: str) -> Ref | None:
    """The ref that a name in a forecast stands for; None for one that a trace of others has."""
    with suppress(GlmAriaError):
        return parse_ref(model)
    return None
