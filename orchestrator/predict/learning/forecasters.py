"""Forecasters: each is a function of the past, and of nothing else.

A forecaster gets the counts of the past (models by hours) and gives those of the hours that follow. It knows no clock:
the last column is the hour before the first that it forecasts, and a season is a week of hours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from orchestrator.predict.learning.series import DAY, WEEK, Hours

Forecaster = Callable[[Hours, int], Hours]
"""Makes a forecast for so many hours. The past is its own copy, in whole hours."""
NAIVE = "seasonal-naive"


def seasonal_naive(past: Hours, hours: int) -> Hours:
    """The counts of a week ago; of a day ago where there is less history, and none where there is less than that."""
    season = next((length for length in (WEEK, DAY) if past.shape[1] >= length), 0)
    if not season:
        return np.zeros((past.shape[0], hours))
    return past[:, past.shape[1] - season + np.arange(hours) % season]


def flat(past: Hours, hours: int) -> Hours:
    """The mean of each model over the last four weeks, whatever the hour."""
    return np.repeat(_mean(past, 4 * WEEK), hours, axis=1)


def smoothing(past: Hours, hours: int) -> Hours:
    """Exponential smoothing: a level of each model that follows its last days, times a season of hours of the week.

    Most models are asked for too seldom to tell their hours from chance, so the season is the site's, and what a model
    has of its own counts as far as it has the wishes for it. Four weeks later a wish counts half in the season, two
    days later in the level.
    """
    season = _season(past, _season(past.sum(axis=0, keepdims=True)))
    # A night says as much of the level as a noon: each hour counts by what is usual in it.
    usual = season[:, (np.arange(past.shape[1]) - past.shape[1]) % WEEK]
    fades = _fades(past.shape[1], 2 * DAY)
    before = past[:, -4 * WEEK :].sum(axis=1) / np.maximum(usual[:, -4 * WEEK :].sum(axis=1), 1e-9)
    # The level of four weeks counts as much as twelve hours of now.
    level = (past @ fades + 12 * before) / (usual @ fades + 12)
    return np.asarray(level[:, None] * season[:, np.arange(hours) % WEEK], dtype=np.float64)


def ridge(past: Hours, hours: int) -> Hours:
    """Ridge regression, one for all models, on lags, recent means, and hours of the week.

    It is fitted to what each day of the past would have been told, as seen from its beginning. Where that are too few
    days it is `flat`.
    """
    origins = range(past.shape[1] - hours, WEEK, -DAY)[: 6 * 7]
    if len(origins) < 7:
        return flat(past, hours)
    told = [_features(past[:, :origin], hours) for origin in origins]
    known = np.concatenate([features.reshape(-1, features.shape[2]) for features in told])
    came = np.concatenate([past[:, origin : origin + hours].reshape(-1) for origin in origins])
    centre, scale = known.mean(axis=0), known.std(axis=0) + 1e-9
    known = (known - centre) / scale
    penalty = _PENALTY * len(known) * np.eye(known.shape[1])
    weights = np.linalg.solve(known.T @ known + penalty, known.T @ (came - came.mean()))
    now = (_features(past, hours) - centre) / scale
    return np.asarray(np.maximum(now @ weights + came.mean(), 0.0), dtype=np.float64)


_PENALTY = 0.003


def _features(past: Hours, hours: int) -> Hours:
    """Facts of each model and hour that follows: models by hours by features."""
    ahead = np.arange(hours)
    weeks = _usual(past[:, -4 * WEEK :], WEEK)[:, ahead % WEEK]
    days = _usual(past[:, -2 * WEEK :], DAY)[:, ahead % DAY]
    site = _season(past.sum(axis=0, keepdims=True))
    own = _season(past, site)[:, ahead % WEEK]
    means = [_mean(past, length) for length in (6, DAY, 3 * DAY, WEEK, 4 * WEEK)]
    columns = [*(np.repeat(mean, hours, axis=1) for mean in means[:2]), *(mean * own for mean in means[1:])]
    return np.stack([*columns, means[-1] * site[:, ahead % WEEK], weeks, days, _around(past, WEEK, ahead)], axis=2)


def _usual(past: Hours, period: int) -> Hours:
    """The mean of each hour of a period, over those that there were."""
    there = _by_period(np.ones((1, past.shape[1])), period).sum(axis=1)
    return np.asarray(_by_period(past, period).sum(axis=1) / np.maximum(there, 1.0), dtype=np.float64)


def _around(past: Hours, season: int, ahead: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Hours:
    """The mean of three hours, the middle one a season before those ahead."""
    if past.shape[1] <= season:
        return np.zeros((past.shape[0], len(ahead)))
    at = past.shape[1] - season + ahead % season
    last = past.shape[1] - 1
    return (past[:, at - 1] + 2 * past[:, at] + past[:, np.minimum(at + 1, last)]) / 4


def _mean(past: Hours, hours: int) -> Hours:
    """The mean of each model over its last hours, as a column."""
    recent = past[:, -hours:]
    return recent.mean(axis=1, keepdims=True) if recent.size else np.zeros((past.shape[0], 1))


def _fades(hours: int, half: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The weight of each hour of the past: 1 is that of the newest, and `half` hours earlier it is the half."""
    return np.asarray(0.5 ** (np.arange(hours)[::-1] / half), dtype=np.float64)


def _season(past: Hours, prior: Hours | None = None) -> Hours:
    """The factor of each hour of the week that follows; 1 is the mean.

    First the hours of the day are told from `prior`, which is 1 without one, then those of the week from these: by what
    came for each wish that was expected, to both of which a few are added, so that chance alone moves nothing far.
    """
    fades = _fades(past.shape[1], 4 * WEEK)
    came, hours = _by_period(past * fades, WEEK).sum(axis=1), _by_period(fades[None, :], WEEK).sum(axis=1)
    expected = came.sum(axis=1, keepdims=True) / max(float(hours.sum()), 1e-9) * hours
    season = np.ones_like(came) if prior is None else np.repeat(prior, len(came), axis=0)
    for period, few in ((DAY, 4.0), (WEEK, 4.0)):
        seen, usual = (part.reshape(len(came), -1, period).sum(axis=1) for part in (came, expected * season))
        season = season * np.tile((seen + few) / (usual + few), WEEK // period)
    return np.asarray(season / np.maximum(season.mean(axis=1, keepdims=True), 1e-9), dtype=np.float64)


def _by_period(past: Hours, period: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    """The past in whole periods that end with its end; what lacks of the first is 0."""
    count = max(1, -(-past.shape[1] // period))
    whole = np.zeros((past.shape[0], count * period))
    whole[:, count * period - past.shape[1] :] = past
    return whole.reshape(past.shape[0], count, period)


FORECASTERS: Mapping[str, Forecaster] = {NAIVE: seasonal_naive, "flat": flat, "smoothing": smoothing, "ridge": ridge}
"""All, by name; the first two are what the others are measured by."""
