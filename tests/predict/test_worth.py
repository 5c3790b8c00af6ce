"""Worth: what is fetched ahead, what stays away, and what goes first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.speeds import parse_windows
from orchestrator.predict.demand import Demand
from orchestrator.predict.forecast import HOUR, Forecast
from orchestrator.predict.worth import (
    EARNED,
    FIRST,
    SPAN,
    Account,
    GuessTerms,
    Hold,
    Judgement,
    Weighed,
    account_of,
    choose,
    foreseen,
    going_too,
    held_back,
    likely,
    order,
    probability,
    rate_of,
    spare,
    wrong,
)

START = 1_000_000 * HOUR
GB = 10**9
FORECAST = Forecast(START, {"org/sure": (9.0,), "org/maybe": (0.7,), "org/hardly": (0.01,)}, "ridge", True)
TERMS = GuessTerms(5e-9, 1000 * GB, horizon=HOUR)
RICH = Account(users=10_000 * GB)
NAMES = {"org/sure": GB, "org/maybe": GB, "org/hardly": GB}


def chosen(
    missing: dict[str, int] | None = None,
    terms: GuessTerms = TERMS,
    account: Account = RICH,
    room: int = 1000 * GB,
    rate: float = 1e8,
) -> dict[str, Weighed]:
    choices = choose(FORECAST, START, missing or NAMES, rate, terms, account, room)
    return {choice.model: choice for choice in choices}


def judgements(**given: object) -> dict[str, Judgement]:
    return {model: choice.judgement for model, choice in chosen(**given).items()}  # type: ignore[arg-type]


def test_what_saves_more_waiting_than_its_bytes_cost_is_fetched_the_most_probable_first() -> None:
    choices = chosen()
    assert list(choices) == ["org/sure", "org/maybe", "org/hardly"]
    maybe = choices["org/maybe"]
    assert (maybe.missing, maybe.costs, maybe.judgement) == (GB, 5.0, Judgement.FETCH)
    assert maybe.probability == pytest.approx(0.5034, abs=1e-4)
    assert maybe.saves == pytest.approx(5.034, abs=1e-3)
    assert choices["org/hardly"].judgement is Judgement.WORTH


def test_a_slow_line_makes_less_probable_models_worth_their_bytes() -> None:
    assert judgements(rate=1e6)["org/hardly"] is Judgement.FETCH


def test_a_higher_price_leaves_only_what_is_nearly_sure() -> None:
    assert judgements(terms=replace(TERMS, price=9e-9))["org/maybe"] is Judgement.WORTH


def test_what_is_here_is_not_fetched_again() -> None:
    assert judgements(missing=NAMES | {"org/sure": 0})["org/sure"] is Judgement.HERE


def test_a_day_has_so_many_bytes_also_for_guesses_together() -> None:
    day = replace(TERMS, most=15 * GB // 10)
    assert judgements(terms=day) == {
        "org/sure": Judgement.FETCH,
        "org/maybe": Judgement.DAY,
        "org/hardly": Judgement.WORTH,
    }
    assert judgements(terms=day, account=replace(RICH, day=GB))["org/sure"] is Judgement.DAY


def test_a_guess_takes_free_room_only() -> None:
    assert judgements(room=GB - 1)["org/sure"] is Judgement.ROOM
    assert judgements(room=GB)["org/sure"] is Judgement.FETCH
    assert judgements(room=GB)["org/maybe"] is Judgement.ROOM


def test_wrong_guesses_end_guessing_and_right_ones_earn_more() -> None:
    least = int(GB / FIRST) + 100
    assert judgements(account=Account(users=least - 1000))["org/sure"] is Judgement.CREDIT
    assert judgements(account=Account(users=least))["org/sure"] is Judgement.FETCH
    assert judgements(account=Account(users=least, lost=1000))["org/sure"] is Judgement.CREDIT
    assert judgements(account=Account(users=least, open=1000))["org/sure"] is Judgement.CREDIT
    assert judgements(account=Account(users=least, lost=GB, used=int(GB / EARNED)))["org/sure"] is Judgement.FETCH


@pytest.mark.parametrize(
    ("forecast", "minute", "windows", "is_busy", "why"),
    [
        (FORECAST, 0, "", False, None),
        (replace(FORECAST, is_used=False), 0, "", False, Hold.UNPROVEN),
        (FORECAST, 0, "", True, Hold.USERS),
        (FORECAST, 23 * 60, "22:00-06:00", False, None),
        (FORECAST, 12 * 60, "22:00-06:00", False, Hold.HOURS),
    ],
)
def test_nothing_is_fetched_ahead(
    forecast: Forecast, minute: int, windows: str, is_busy: bool, why: Hold | None
) -> None:
    terms = replace(TERMS, windows=parse_windows(windows) if windows else ())
    assert held_back(forecast, minute, terms, is_busy=is_busy) is why


def test_a_forecast_that_may_not_be_used_foresees_nothing() -> None:
    assert foreseen(FORECAST, START, 1e8, TERMS) == {"org/sure", "org/maybe"}
    assert foreseen(replace(FORECAST, is_used=False), START, 1e8, TERMS) == frozenset()
    assert likely(FORECAST, START, HOUR) == {"org/sure": 1.0, "org/maybe": 0.5, "org/hardly": 0.01}
    assert likely(FORECAST, START, HOUR / 2) == {"org/sure": 0.99, "org/maybe": 0.4, "org/hardly": 0.01}
    assert likely(replace(FORECAST, is_used=False), START, HOUR) == {}


def test_a_probability_is_one_however_much_is_expected() -> None:
    assert probability(FORECAST, "org/sure", START, HOUR) == pytest.approx(1, abs=1e-3)
    assert probability(FORECAST, "org/unknown", START, HOUR) == 0
    assert probability(FORECAST, "org/sure", START + HOUR, HOUR) == 0


USES = {"old": 100.0, "used": 500.0, "guess": 0.0, "right guess": 0.0, "likely guess": 0.0, "old and likely": 50.0}
LIKELY = {"old and likely": 0.8, "likely guess": 0.9}


def sequence(spare: frozenset[str] = frozenset()) -> list[str]:
    places = order(USES, {"right guess", "likely guess"}, LIKELY, spare)
    return sorted(places, key=lambda name: places[name])


def test_wrong_guesses_go_first_and_then_what_is_the_least_likely_wanted() -> None:
    assert sequence() == ["guess", "right guess", "old", "used", "old and likely", "likely guess"]
    assert sequence(frozenset({"used", "guess"})) == [
        "guess", "used", "right guess", "old", "old and likely", "likely guess"
    ]  # fmt: skip
    places = order(USES, {"right guess"}, LIKELY, {"used", "right guess"})
    assert set(wrong(places)) == {"guess", "likely guess"}
    assert set(going_too(places)) == {"used"}


def test_without_a_forecast_guesses_go_first_and_what_was_unused_for_longest() -> None:
    places = order(USES, (), {})
    assert set(wrong(places)) == {"guess", "right guess", "likely guess"}
    assert sorted(places.keys() - wrong(places), key=lambda name: places[name]) == ["old and likely", "old", "used"]


def spared(room: int = 0, credit: int = 100 * GB, kept: int = 0, away: dict[str, int] | None = None) -> frozenset[str]:
    used = {"old": GB, "new": GB, "likely": GB}
    chances = {"likely": 0.8, "old": 0.1, "new": 0.1, "first": 0.9, "second": 0.5, "never": 0.15}
    return spare({"first": GB, "second": GB} if away is None else away, used, chances, room, credit, kept)


def test_what_goes_for_guesses_is_less_likely_wanted_than_they_are_and_no_more_than_they_need() -> None:
    assert spared() == {"old", "new"}
    assert spared(away={"second": GB}) == {"old"}
    assert spared(away={"first": 2 * GB, "second": GB}) == {"old", "new"}
    assert spared(away={"second": 3 * GB}) == frozenset()
    assert spared(away={"never": GB}) == frozenset()
    assert spared(away={"unheard of": GB}) == frozenset()
    assert spared(away={}) == frozenset()


def test_nothing_goes_where_there_is_room() -> None:
    assert spared(room=2 * GB) == frozenset()
    assert spared(room=GB) == {"old"}


def test_nothing_goes_for_guesses_that_have_no_credit_and_a_part_is_kept_for_what_was_used() -> None:
    assert spared(credit=GB - 1) == frozenset()
    assert spared(credit=GB) == {"old"}
    assert spared(credit=-GB) == frozenset()
    assert spared(kept=2 * GB) == {"old"}
    assert spared(kept=3 * GB) == frozenset()


def test_the_rate_is_that_at_which_users_waited() -> None:
    hit = Demand(0, "a", GB, 0, 0.0)
    misses = [Demand(0, "a", GB, GB, 10.0), Demand(0, "b", GB, GB, 30.0)]
    assert rate_of([hit, *misses]) == GB * 2 / 40
    assert rate_of([hit]) is None


def test_an_account_tells_of_the_last_weeks_and_of_the_last_day() -> None:
    now = START + SPAN
    account = account_of(
        [(START, 1), (now - 1, 2)],
        [(START, 4, True), (now - HOUR, 8, True), (now - 30 * HOUR, 16, False), (now - 1, 32, None)],
        now,
    )
    assert account == Account(users=2, used=8, lost=16, open=32, day=40)
