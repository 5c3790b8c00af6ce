"""The sources of a follower: when each is looked at, and the last good state of each.

A source that cannot be asked, or has something that cannot be used, changes nothing but its status.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.desired.following import polling
from orchestrator.desired.following.chore import Chore
from orchestrator.desired.following.polling import Poll
from orchestrator.desired.sources.interface import DesiredSource, ReadState, Vouched, anybody, read_state
from orchestrator.desired.status import SourceState, SourceStatus
from orchestrator.errors import FileAbsentError, GlmAriaError, TrustError, UnsafeError, UsageError
from orchestrator.events import Notice
from orchestrator.system.signals import Stop

NEAR = 1.0
"""Seconds between two looks at a source of this machine, which cost nobody anything."""
_WRONG = (UsageError, TrustError, UnsafeError, FileAbsentError)
"""What a source has, and not how it is reached, is the reason."""
_YEARS = 10**9
"""A serial above is a time in unix seconds."""
_Look = tuple[str, ReadState | None]


class _WrongStateError(Exception):
    def __init__(self, token: str, error: GlmAriaError) -> None:
        super().__init__(error.message)
        self.token, self.error = token, error


@dataclass(slots=True)
class Followed:
    """One source and what is known of it. `token` is that of the last look that ended; `looked` is unix seconds;
    `signers` is a word for who may sign it, empty for anybody. Where they sign, no state of a lower `serial` than the
    last one is taken, unless `may_go_back`."""

    address: str
    source: DesiredSource
    vouched: Vouched = anybody
    signers: str = ""
    may_go_back: bool = False
    serial: int = 0
    state: ReadState | None = None
    error: GlmAriaError | None = None
    is_wrong: bool = False
    looked: float | None = None
    poll: Poll = field(default_factory=lambda: Poll(0.0))
    token: str = ""
    chore: Chore[_Look] | None = None

    @property
    def key(self) -> str:
        """The name of its last good state, which counts only for who asks for the same signers."""
        return f"{self.address} signed by {self.signers}" if self.signers else self.address

    def call(self, _stop: Stop) -> _Look:
        """Look, and read what is new."""
        token = self.source.look()
        if token == self.token:
            return token, None
        try:
            with self.source.open() as tree:
                state = read_state(tree, self.vouched)
            self._refuse_older(state)
        except _WRONG as error:
            raise _WrongStateError(token, error) from error
        return token, state

    def _refuse_older(self, state: ReadState) -> None:
        """Raise TrustError for a signed state that comes before the last one: somebody put it back."""
        if self.signers and not self.may_go_back and state.serial < self.serial:
            raise TrustError(
                f"{state.revision.removeprefix('sha256:')[:12]} is older than what was followed before: it is of "
                f"{_called(state.serial)}, and that was of {_called(self.serial)}",
                hint="sign it again, as a new commit or with a greater serial; or take the old one: --allow-rollback",
            )

    def notice(self) -> Notice | None:
        """The warning about its last look, if there is any."""
        if self.error is not None:
            told = f"{self.address}: {self.error.message}; {stays(self.state)}"
            return Notice("state-wrong", told) if self.is_wrong else Notice("source-away", told)
        if self.signers and self.state is not None and not self.state.serial:
            told = f"{self.address} has no serial, so what was signed before can be put back: serial = 1"
            return Notice("state-undated", told)
        return None

    def status(self, now: float) -> SourceStatus:
        """The status; `now` is of the clock of the polls."""
        found = SourceState.WAITING if self.looked is None and self.error is None else SourceState.FRESH
        if self.error is not None:
            found = SourceState.INVALID if self.is_wrong else SourceState.STALE
        return SourceStatus(
            self.address,
            self.state.revision if self.state else None,
            found,
            self.error.message if self.error else None,
            self.looked,
            time.time() + max(0.0, self.poll.due - now),
        )


class Looker:
    """The sources of a set, looked at when that is due; with `at_once` first of all. Used by one thread."""

    def __init__(
        self,
        sources: Iterable[Followed],
        interval: float,
        known: Mapping[str, ReadState],
        serials: Mapping[str, int],
        *,
        at_once: bool = False,
    ) -> None:
        self.sources = tuple(sources)
        self._interval = interval
        now = time.monotonic()
        for one in self.sources:
            one.state, one.serial = known.get(one.key), serials.get(one.address, 0)
            is_urgent = at_once or one.state is None or one.source.is_near
            one.poll = polling.first(now, interval, _roll(), is_urgent=is_urgent)

    @property
    def states(self) -> tuple[ReadState, ...] | None:
        """The last good state of each source, in their order; None until each has had one."""
        found = tuple(one.state for one in self.sources if one.state is not None)
        return found if len(found) == len(self.sources) else None

    @property
    def errors(self) -> tuple[GlmAriaError | None, ...]:
        """The error of each source."""
        return tuple(one.error for one in self.sources)

    @property
    def has_looked(self) -> bool:
        """True when each source was looked at, with whatever result, and none is being looked at."""
        return all(one.chore is None and (one.looked is not None or one.error is not None) for one in self.sources)

    def turn(self, now: float) -> tuple[Followed, ...]:
        """Begin what is due, and take what has ended: the sources of which something is new."""
        changed = []
        for one in self.sources:
            if one.chore is None:
                if now >= one.poll.due:
                    one.chore = Chore(one.call, "look")
                    if one.source.is_near:
                        one.chore.join(NEAR)
                if one.chore is None or not one.chore.is_done:
                    continue
            elif not one.chore.is_done:
                continue
            if self._take(one, now):
                changed.append(one)
        return tuple(changed)

    def _take(self, one: Followed, now: float) -> bool:
        chore, one.chore = one.chore, None
        interval = NEAR if one.source.is_near else self._interval
        before = one.error
        try:
            token, state = chore.result() if chore else ("", None)
        except _WrongStateError as wrong:
            # The same again would be wrong again: it is read again only when it has changed.
            one.token, one.error, one.is_wrong, one.looked = wrong.token, wrong.error, True, time.time()
            one.poll = polling.answered(one.poll, now, interval, _roll())
            return _is_other(before, one.error)
        except GlmAriaError as error:
            one.error, one.is_wrong = error, False
            one.token = ""
            one.poll = polling.failed(one.poll, now, interval, _roll())
            return _is_other(before, error)
        one.looked = time.time()
        one.poll = polling.answered(one.poll, now, interval, _roll())
        if state is None:
            return False
        one.token, one.error, one.is_wrong = token, None, False
        is_new = one.state is None or one.state.revision != state.revision or before is not None
        one.state = state
        if one.signers:
            one.serial = state.serial
        return is_new


def _called(serial: int) -> str:
    """A serial for people: the time of a commit, or a number."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(serial)) if serial > _YEARS else f"serial {serial}"


def stays(good: object) -> str:
    """The words for what counts while a source has nothing that can be used; `good` is the last good state."""
    return "it has had no good state yet" if good is None else "the last good state stays in use"


def _is_other(before: GlmAriaError | None, now: GlmAriaError) -> bool:
    return before is None or before.message != now.message


def _roll() -> float:
    return random.random()  # noqa: S311 - no secret
