"""Replay of a trace against a cache of a size and a line of a rate: what users wait, with guesses and without.

The line brings one model at a time, to users in the order in which they ask, and guesses only while no user waits. The
cache is that of `serve`: see `order` for what goes, down to nine tenths of what it may have, or by a forecast as far as
that says. Units: unix seconds, seconds, bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR, Forecast
from orchestrator.predict.worth import (
    GuessTerms,
    Judgement,
    account_of,
    choose,
    foreseen,
    going_too,
    held_back,
    is_worth,
    likely,
    order,
    spare,
    wrong,
)

LOW = 0.9
"""The share of the allowed size that an eviction goes down to without a forecast."""
_STEP = HOUR / 4
"""Seconds between two looks at what is worth it, those of `serve`."""
_DAY = 24 * HOUR

Foresee = Callable[[Sequence[Demand], float], Forecast | None]
"""Makes a forecast at a time, of what was asked for before it."""


@dataclass(frozen=True, slots=True)
class Premises:
    """A cache of so many bytes behind a line of so many bytes a second."""

    size: int
    rate: float


@dataclass(frozen=True, slots=True)
class Replayed:
    """Result of a replay: what users waited, how many models they asked for, and how many of these were here; the
    bytes that came for them and for guesses; and how often something that was used, or a guess, had to go."""

    waited: float
    asked: int
    hits: int
    came: int
    guessed: int
    evicted: int
    dropped: int

    @property
    def fetched(self) -> int:
        """All bytes that the line brought."""
        return self.came + self.guessed


@dataclass(slots=True)
class _Held:
    """A model in the cache. `done` of its bytes are there, the others as soon as the line has brought them; `used` is
    its last use, 0 for a guess, and `guess` the number of the guess that brought it."""

    size: int
    done: int
    used: float
    guess: int | None = None


@dataclass(slots=True)
class _Guess:
    """A guess that was made: the bytes that came for it, and whether somebody used it."""

    at: float
    size: int = 0
    was_used: bool | None = None


def replay(
    trace: Sequence[Demand],
    premises: Premises,
    since: float,
    foresee: Foresee | None = None,
    terms: GuessTerms | None = None,
) -> Replayed:
    """Replay a trace, the oldest wish first; count from `since` on, and make guesses from then on where `foresee` and
    `terms` are given: there is a new forecast each day."""
    return _Replay(trace, premises, since, foresee, terms).run()


class _Replay:
    def __init__(
        self,
        trace: Sequence[Demand],
        premises: Premises,
        since: float,
        foresee: Foresee | None,
        terms: GuessTerms | None,
    ) -> None:
        self._trace = trace
        self._premises = premises
        self._since = since
        self._foresee = foresee
        self._terms = terms
        self._held: dict[str, _Held] = {}
        self._guesses: list[_Guess] = []
        self._queue: list[str] = []
        self._users: list[tuple[float, int]] = []
        self._sizes: dict[str, int] = {}
        self._forecast: Forecast | None = None
        self._foreseen: frozenset[str] = frozenset()
        self._likely: dict[str, float] = {}
        self._spare: frozenset[str] = frozenset()
        self._renew_at = self._look_at = since
        self._now = self._free_at = 0.0
        self._ends: dict[str, float] = {}
        self._waited, self._asked, self._hits, self._came, self._evicted, self._dropped = 0.0, 0, 0, 0, 0, 0

    def run(self) -> Replayed:
        for number, demand in enumerate(self._trace):
            while self._foresee is not None and self._look_at <= demand.at:
                self._fetch_ahead(self._look_at)
                self._look(self._trace[:number])
                self._look_at += _STEP
            self._fetch_ahead(demand.at)
            self._ask(demand)
        guessed = sum(guess.size for guess in self._guesses)
        return Replayed(self._waited, self._asked, self._hits, self._came, guessed, self._evicted, self._dropped)

    def _ask(self, demand: Demand) -> None:
        """Have a wish met: what is missing comes as soon as the line has brought what others asked for."""
        model, at = demand.model, demand.at
        held = self._held.get(model)
        left = max(0, demand.size - (held.done if held else 0))
        is_guess = held is not None and held.guess is not None
        if held is not None and held.guess is not None:
            self._guesses[held.guess].was_used = True
            held.guess = None
        if left:
            self._make_room(left, model)
            self._free_at = self._ends[model] = max(at, self._free_at) + left / self._premises.rate
            self._users.append((at, left))
            held = _Held(demand.size, demand.size, at)
        if held is not None:
            held.used = at
            if self._fits(held.done - self._done(model), self._premises.size):
                self._held[model] = held
            if is_guess and self._terms is not None:
                self._make_way(model)
        self._sizes[model] = demand.size
        if at >= self._since:
            self._asked += 1
            self._hits += not left
            self._came += left
            self._waited += max(0.0, self._ends.get(model, at) - at)

    def _look(self, past: Sequence[Demand]) -> None:
        """Decide what is fetched ahead from now on."""
        now, terms, self._queue = self._look_at, self._terms, []
        if self._foresee is None or terms is None:
            return
        if now >= self._renew_at:
            self._forecast = self._foresee(past, now)
            self._renew_at = now + _DAY
        forecast = self._forecast
        if forecast is None:
            return
        rate = self._premises.rate
        self._foreseen = foreseen(forecast, now, rate, terms)
        self._likely = likely(forecast, now, terms.horizon)
        if held_back(forecast, int(now % _DAY) // 60, terms, is_busy=self._free_at > now):
            return
        missing = {model: self._sizes[model] - self._done(model) for model in forecast.pulls if model in self._sizes}
        going = self._going()
        room = self._premises.size - self._total() + sum(self._done(model) for model in going)
        made = [(guess.at, guess.size, guess.was_used) for guess in self._guesses]
        account = account_of(self._users, made, now)
        choices = choose(forecast, now, missing, rate, terms, account, room)
        self._queue = [choice.model for choice in choices if choice.judgement is Judgement.FETCH]
        coming = sum(missing[model] for model in self._queue)
        self._spare = self._spared(room - coming, account.credit - coming, terms)
        need = self._total() + coming - self._premises.size
        for model in going:
            if need > 0 and model not in self._queue:
                need -= self._done(model)
                self._drop(model)

    def _spared(self, room: int, credit: int, terms: GuessTerms) -> frozenset[str]:
        """The models that go the next time that a user needs room, for guesses that are made then."""
        likely, rate = self._likely, self._premises.rate
        away = [model for model in self._sizes if not self._done(model) and model not in self._queue]
        worth = [model for model in away if is_worth(likely.get(model, 0.0), rate, terms)]
        used = sorted((held.used, model) for model, held in self._held.items() if held.used)
        return spare(
            {model: self._sizes[model] for model in worth},
            {model: self._done(model) for _, model in used},
            likely,
            room,
            credit,
            int(terms.kept * self._premises.size),
        )

    def _going(self) -> list[str]:
        """The guesses that may go for another one: all that are worth it no more."""
        return sorted(model for model, held in self._held.items() if not held.used and model not in self._foreseen)

    def _fetch_ahead(self, until: float) -> None:
        """Use the line for guesses while no user waits, until that time."""
        begin, self._now = max(self._now, self._free_at), until
        while self._queue and begin < until:
            model = self._queue[0]
            size = self._sizes[model]
            left = size - self._done(model)
            if left <= 0 or not self._fits(left, self._premises.size):
                self._queue.pop(0)
                continue
            come = min(left, max(1, int((until - begin) * self._premises.rate)))
            held = self._held.setdefault(model, _Held(size, 0, 0.0))
            if held.guess is None:
                held.guess = len(self._guesses)
                self._guesses.append(_Guess(begin))
            self._guesses[held.guess].size += come
            held.done += come
            begin += come / self._premises.rate

    def _make_room(self, need: int, model: str) -> None:
        """Let go of wrong guesses as far as that is enough, else also of what is spare and of the least likely."""
        places = self._places(model)
        last = sorted(places, key=lambda name: (places[name], name))
        first = len(wrong(places))
        for name in last[:first]:
            if self._fits(need, self._premises.size):
                return
            self._drop(name)
        if self._fits(need, self._premises.size):
            return
        low, too = 1.0 if self._likely else LOW, going_too(places)
        for name in last[first:]:
            if name not in too and self._fits(need, low * self._premises.size):
                return
            self._drop(name)

    def _make_way(self, model: str) -> None:
        """Let what is spare go, as a miss would: somebody used a guess."""
        for name in going_too(self._places(model)):
            self._drop(name)

    def _places(self, model: str) -> dict[str, float]:
        uses = {name: held.used for name, held in self._held.items() if name != model}
        return order(uses, self._foreseen, self._likely, self._spare)

    def _fits(self, need: int, most: float) -> bool:
        return self._total() + need <= most

    def _drop(self, model: str) -> None:
        held = self._held.pop(model)
        if held.guess is not None:
            self._guesses[held.guess].was_used = False
            self._dropped += 1
        elif self._now >= self._since:
            self._evicted += 1

    def _done(self, model: str) -> int:
        held = self._held.get(model)
        return held.done if held else 0

    def _total(self) -> int:
        return sum(held.done for held in self._held.values())
