"""Worth: which models are fetched before anybody asks for them, and which go first. A decision over plain values.

A guess is a model that was fetched ahead and that nobody has used. It takes room that is free, or the room of guesses
that are worth it no more: for a guess nothing goes that was used. Where a pull of somebody needs room, guesses that are
worth it no more go first, then what is the least probable. A guess is made if

    waiting that it saves x probability that somebody asks for it > bytes x price

within the bytes of a day and the credit of all guesses. Credit is what keeps a bad forecast cheap: guesses begin with a
small share of the bytes that users had fetched, those that somebody used earn more, and those that nobody used cost
what they have. Units: unix seconds, seconds, bytes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from orchestrator.core.speeds import DaySpan
from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR, Forecast

_DAY = 24 * HOUR
SPAN = 28 * _DAY
"""The time of which an `Account` tells."""
FIRST = 0.015
"""The share of the bytes that users had fetched which guesses may cost before one of them was used."""
EARNED = 2.0
"""The bytes of wrong guesses that a byte of a right one pays for: every third one has to be right."""
GUESS = 0.0
"""The last use of a guess."""
_WRONG, _SPARE = 0.0, 1.0
"""The numbers in `order` of guesses that are worth it no more, and of what is spare."""
_LESS = 0.1
"""The probability by which what goes for a guess, once somebody needs room, is less probable than that."""

Key = TypeVar("Key")


class Hold(StrEnum):
    """A reason to fetch nothing ahead now."""

    UNPROVEN = "the forecast is no better than last week's figures"
    USERS = "users have files fetched"
    HOURS = "it is not within the hours for it"


class Judgement(StrEnum):
    """The judgement on a model; all but the first are reasons to leave it."""

    FETCH = "is fetched"
    HERE = "is here"
    WORTH = "saves less than its bytes cost"
    DAY = "is more than is left of the day's bytes"
    CREDIT = "is more than guesses have earned"
    ROOM = "has no room but that of what was used"


@dataclass(frozen=True, slots=True)
class GuessTerms:
    """The terms on which models are fetched ahead: `price` is the waiting in seconds that a byte has to save, `most`
    the bytes of a day, `windows` the hours for it (empty: all), `horizon` the seconds in which somebody has to ask.

    However much is worth it, of the cache this share is `kept` for what was used.
    """

    price: float
    most: int
    windows: tuple[DaySpan, ...] = ()
    horizon: float = 4 * HOUR
    kept: float = 0.2


@dataclass(frozen=True, slots=True)
class Account:
    """The bytes of the last `SPAN`: those that `users` had fetched; of guesses those that somebody `used`, those that
    were `lost`, since they went before somebody did, and those that are still `open`; and all that guesses fetched in
    the last `day`."""

    users: int = 0
    used: int = 0
    lost: int = 0
    open: int = 0
    day: int = 0

    @property
    def credit(self) -> int:
        """The bytes that further guesses may have; less than 0 where too many were wrong."""
        return int(FIRST * (self.users + self.used) + EARNED * self.used) - self.lost - self.open


@dataclass(frozen=True, slots=True)
class Weighed:
    """A model with its bytes that are missing, the probability that somebody asks for it within the horizon, the
    waiting that it may save, what its bytes cost, both in seconds, and the judgement."""

    model: str
    missing: int
    probability: float
    saves: float
    costs: float
    judgement: Judgement


def held_back(forecast: Forecast, minute: int, terms: GuessTerms, *, is_busy: bool) -> Hold | None:
    """The reason to fetch nothing ahead at a minute of the day, whatever it is. `is_busy`: users have files fetched."""
    if not forecast.is_used:
        return Hold.UNPROVEN
    if is_busy:
        return Hold.USERS
    if terms.windows and not any(window.has(minute) for window in terms.windows):
        return Hold.HOURS
    return None


def probability(forecast: Forecast, model: str, now: float, seconds: float) -> float:
    """The probability that somebody asks for a model within `seconds`, where wishes come independently."""
    return 1.0 - math.exp(-max(0.0, forecast.expected(model, now, seconds)))


def is_worth(chance: float, rate: float, terms: GuessTerms) -> bool:
    """True where the waiting that a byte saves is more than its price."""
    return chance / rate > terms.price


def foreseen(forecast: Forecast, now: float, rate: float, terms: GuessTerms) -> frozenset[str]:
    """The models that are worth it to have been fetched ahead; none where the forecast may not be used."""
    if not forecast.is_used:
        return frozenset()
    chances = {model: probability(forecast, model, now, terms.horizon) for model in forecast.pulls}
    return frozenset(model for model, chance in chances.items() if is_worth(chance, rate, terms))


def likely(forecast: Forecast, now: float, seconds: float) -> dict[str, float]:
    """The mean of the probabilities that somebody asks for each model within `seconds` and within a day, to a
    hundredth; none where the forecast may not be used."""
    if not forecast.is_used:
        return {}

    def chance(model: str) -> float:
        return (probability(forecast, model, now, seconds) + probability(forecast, model, now, _DAY)) / 2

    return {model: round(chance(model), 2) for model in forecast.pulls}


def rate_of(demands: Iterable[Demand]) -> float | None:
    """The bytes a second at which models came for those who waited for them; None where nobody did."""
    waited = [demand for demand in demands if demand.came and demand.waited > 0]
    seconds = sum(demand.waited for demand in waited)
    return sum(demand.came for demand in waited) / seconds if seconds else None


def choose(  # noqa: PLR0917 - what is foreseen, what is here, and what may be spent
    forecast: Forecast,
    now: float,
    missing: Mapping[str, int],
    rate: float,
    terms: GuessTerms,
    account: Account,
    room: int,
) -> tuple[Weighed, ...]:
    """The judgement on each model, the most probable first. `missing` are the bytes that each lacks, `rate` the bytes a
    second at which they come, `room` those that are free or have guesses which are not foreseen.

    Nothing may be fetched where `held_back` has a reason.
    """
    left = {Judgement.DAY: terms.most - account.day, Judgement.CREDIT: account.credit, Judgement.ROOM: room}
    choices = []
    chances = {model: probability(forecast, model, now, terms.horizon) for model in missing}
    for model in sorted(missing, key=lambda model: (-chances[model], model)):
        size = missing[model]
        saves, costs = chances[model] * size / rate, size * terms.price
        judgement = Judgement.FETCH
        if not size:
            judgement = Judgement.HERE
        elif not is_worth(chances[model], rate, terms):
            judgement = Judgement.WORTH
        else:
            judgement = next((why for why, most in left.items() if size > most), judgement)
        if judgement is Judgement.FETCH:
            left = {why: most - size for why, most in left.items()}
        choices.append(Weighed(model, size, chances[model], saves, costs, judgement))
    return tuple(choices)


def spare(  # noqa: PLR0917 - what is wanted, what is here, how likely somebody asks, and how much may go
    away: Mapping[Key, int],
    used: Mapping[Key, int],
    likely: Mapping[Key, float],
    room: int,
    credit: int,
    kept: int,
) -> frozenset[Key]:
    """Those that go the next time that somebody's pull has something go, so that there is room for guesses.

    `away` are the bytes of what is not here and would be worth it, `used` those of what is here and was used, the
    longest unused first. What goes is less `likely` asked for than what gets its room. `room` and `credit` are what
    is left of them by the guesses that are made now; `kept` bytes of what was used stay.
    """
    last = sorted(used, key=lambda key: likely.get(key, 0.0))
    found: list[Key] = []
    left = sum(used.values())
    for key in sorted(away, key=lambda key: -likely.get(key, 0.0)):
        need = away[key]
        if need > credit:
            continue
        going: list[Key] = []
        for other in last[len(found) :]:
            is_less = likely.get(other, 0.0) + _LESS < likely.get(key, 0.0)
            if room >= need or not is_less or left - used[other] < kept:
                break
            going.append(other)
            room, left = room + used[other], left - used[other]
        if room < need:
            break
        found += going
        room, credit = room - need, credit - need
    return frozenset(found)


def order(
    uses: Mapping[Key, float], foreseen: Collection[Key], likely: Mapping[Key, float], spare: Collection[Key] = ()
) -> dict[Key, float]:
    """A number for each of these last uses by which they go where somebody needs room, the smallest first.

    These are guesses, whose last use is 0, that are not `foreseen`; what is `spare`; and then all others by how
    `likely` somebody asks for them: of what is equally likely guesses, and then what was unused for longest.
    """

    def place(key: Key) -> tuple[float, bool, float]:
        return likely.get(key, 0.0), uses[key] != GUESS, uses[key]

    first = {key: _WRONG for key, use in uses.items() if use == GUESS and key not in foreseen}
    first |= {key: _SPARE for key, use in uses.items() if use != GUESS and key in spare}
    rest = sorted(uses.keys() - first.keys(), key=place)
    return first | {key: _SPARE + number for number, key in enumerate(rest, 1)}


def wrong(places: Mapping[Key, float]) -> dict[Key, float]:
    """Those of `order` that are guesses which are worth it no more."""
    return {key: place for key, place in places.items() if place == _WRONG}


def going_too(places: Mapping[Key, float]) -> dict[Key, float]:
    """Those of `order` that are spare."""
    return {key: place for key, place in places.items() if place == _SPARE}


def account_of(
    users: Iterable[tuple[float, int]], made: Sequence[tuple[float, int, bool | None]], now: float
) -> Account:
    """The account at `now`: of when users had how many bytes fetched, and of when guesses were made, of what size, and
    whether somebody used them; None where that is open."""
    late = [(at, size, was_used) for at, size, was_used in made if at > now - SPAN]

    def total(outcome: bool | None) -> int:
        return sum(size for _, size, was_used in late if was_used is outcome)

    return Account(
        sum(size for at, size in users if at > now - SPAN),
        total(True),
        total(False),
        total(None),
        sum(size for at, size, _ in late if at > now - _DAY),
    )
