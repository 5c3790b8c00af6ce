"""The registers that a scheduler knows and has to say, and how it mends what the board has lost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice

from orchestrator.swarm.board.interface import MOST_NUMBER, BoardAnswer, Mark, Register, Version
from orchestrator.swarm.control.scheduling.fact_codec import Key, fact_of, key_of, register_of
from orchestrator.swarm.control.scheduling.facts import Fact, FilesFact, HaveFact, NodeFact, ReportFact

_MOST_REMOVALS = 2000
"""Registers that are taken away in one exchange."""

Learn = Callable[[Key, Fact | None], None]
"""Hears of each register that changed: its fact, None when it was taken away."""


class BoardWords:
    """The registers that a scheduler knows, and what it has to say.

    Its own words (of its nodes) count at once, and are put until they are taken. What others may want as well (a lease,
    a claim) is put once, and counts only if it is taken.
    """

    def __init__(self) -> None:
        self._known: dict[Key, Register] = {}
        self._words: dict[Key, Fact] = {}
        self._wishes: dict[Key, Fact] = {}
        self._sent: dict[Key, Fact] = {}
        self._hopes: dict[Key, Fact] = {}
        self._removals: set[Key] = set()
        self._replays: dict[Key, Register] = {}
        self.mark: Mark | None = None

    def say(self, fact: Fact) -> None:
        """Have the board know a fact of our own."""
        self._words[key_of(fact)] = fact

    def wish(self, fact: Fact) -> None:
        """Have this be so, if nobody changes the same meanwhile; a later wish for the same takes its place."""
        self._wishes[key_of(fact)] = fact

    def remove(self, key: Key) -> None:
        """Have a register taken away."""
        self._words.pop(key, None)
        self._removals.add(key)

    @property
    def known(self) -> Collection[Key]:
        """The registers that are there."""
        return self._known.keys()

    def puts(self) -> list[Register]:
        """The registers to put now."""
        made = dict(self._replays)
        self._sent.clear()
        self._hopes, self._wishes = self._wishes, {}
        for key, fact, version in self._versioned():
            self._sent[key] = fact
            made[key] = register_of(fact, version)
        for key in tuple(islice(self._removals, _MOST_REMOVALS)):
            epoch, number = self._version(key)
            if key in self._known and number < MOST_NUMBER:
                made[key] = Register(*key, (epoch, number + 1), b"")
            else:  # it is not there, or somebody made it impossible
                self._removals.discard(key)
        return list(made.values())

    def failed(self) -> None:
        """The exchange failed: wishes are given up, since it is unknown whether they came true."""
        self._hopes.clear()

    def settle(self, puts: Iterable[Register], answer: BoardAnswer, learn: Learn) -> None:
        """Take what came of what was put, and what others have put."""
        for put, is_won in zip(puts, answer.won, strict=True):
            key = (put.shelf, put.name)
            wish = self._hopes.pop(key, None)
            self._replays.pop(key, None)
            if not put.value:
                self._removals.discard(key)
                if is_won:
                    self._known.pop(key, None)
                    learn(key, None)
            elif is_won:
                self._known[key] = put
                if self._words.get(key) is self._sent.get(key):
                    self._words.pop(key, None)
                if wish is not None:
                    learn(key, wish)
        for register in answer.news:
            self._take(register, learn)
        self.mark = answer.mark
        if answer.is_whole:
            there = {(register.shelf, register.name): register.version for register in answer.news}
            self._replays = {
                key: register for key, register in self._known.items() if register.version > there.get(key, (0, 0))
            }

    def forget(self, shelf: str) -> None:
        """Forget the registers of a shelf."""
        for key in [key for key in self._known if key[0] == shelf]:
            del self._known[key]

    def _versioned(self) -> Iterator[tuple[Key, Fact, Version]]:
        for key, fact in tuple(self._words.items()):
            epoch = fact.epoch if isinstance(fact, _OF_NODE) else 0
            known = self._version(key)
            if known[0] > epoch or known[1] >= MOST_NUMBER:
                del self._words[key]  # the node has been started again, and speaks to another scheduler
            else:
                yield key, fact, (epoch, known[1] + 1 if known[0] == epoch else 1)
        for key, fact in self._hopes.items():
            known = self._version(key)
            if known < (0, MOST_NUMBER):
                yield key, fact, (0, known[1] + 1)

    def _version(self, key: Key) -> Version:
        known = self._known.get(key)
        return known.version if known else (0, 0)

    def _take(self, register: Register, learn: Learn) -> None:
        key = (register.shelf, register.name)
        if register.version <= self._version(key):
            return
        if not register.value:
            self._known.pop(key, None)
            learn(key, None)
            return
        self._known[key] = register
        word = self._words.get(key)
        if word is not None and (not isinstance(word, _OF_NODE) or word.epoch >= register.version[0]):
            return  # we know better
        self._words.pop(key, None)
        if (fact := fact_of(register)) is not None:
            learn(key, fact)


_OF_NODE = (NodeFact, HaveFact, FilesFact, ReportFact)
