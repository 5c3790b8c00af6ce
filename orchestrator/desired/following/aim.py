"""The aim of a follower: the wish of its sources as far as it can be used, its number, and the locks of its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.desired.following.looking import Looker
from orchestrator.desired.following.memory import Memory
from orchestrator.desired.sets import StoredSet
from orchestrator.desired.wish.document import SetBudget
from orchestrator.desired.wish.labels import Labels
from orchestrator.desired.wish.wanted import GRACE, ModelSet, SetModel, SetRules, WantedModel, WantedSet, merge
from orchestrator.errors import GlmAriaError
from orchestrator.lists.lockfile import LockedModel


class Aim:
    """The newest wish that can be used. `budget` and `grace` go before what the sources say. Used by one thread."""

    def __init__(self, memory: Memory, labels: Labels, rules: SetRules, budget: SetBudget, grace: float | None) -> None:
        self.memory = memory
        self.wanted: WantedSet | None = None
        self.error: GlmAriaError | None = None
        self._labels = labels
        self._rules = rules
        self._budget = budget
        self._grace = grace
        self._stored: dict[str, LockedModel] = {}

    def recall(self, kept: tuple[StoredSet, ...]) -> None:
        """Learn from the sets on the disk what the memory lacks, where it was lost or a set was carried here: the
        number of the newest wish, and what its models were."""
        self._stored = {str(model.locked.ref): model.locked for one in kept for model in one.models.models}
        if not self.memory.generation and kept:
            self.memory = replace(self.memory, generation=kept[-1].generation, wish=kept[-1].wish)

    def take(self, looker: Looker) -> bool:
        """Aim at what the sources say now; True when that is another wish. What cannot be used leaves the last one."""
        states = looker.states
        if states is None:
            return False
        try:
            wanted = merge([state.document for state in states], self._labels)
        except GlmAriaError as error:
            self.error = error
            return False
        self.error = None
        grace = wanted.grace if self._grace is None else self._grace
        self.wanted = replace(wanted, budget=self._budget.over(wanted.budget), grace=grace)
        is_new = wanted.digest != self.memory.wish
        known = {model.key: locked for model in wanted.models if (locked := self._known(model)) is not None}
        self.memory = replace(
            self.memory,
            generation=self.memory.generation + is_new,
            wish=wanted.digest,
            states={one.key: one.state for one in looker.sources if one.state is not None},
            serials={**self.memory.serials, **{one.address: one.serial for one in looker.sources if one.signers}},
            locks=known,
        )
        return is_new

    def _known(self, model: WantedModel) -> LockedModel | None:
        """The lock of a model from when it was last asked about, or came here in a set."""
        item, stored = model.item, self._stored.get(str(model.item.ref))
        is_plain = not (item.quantization or item.variant)
        is_same = stored is not None and (stored.include, stored.exclude) == (item.include, item.exclude)
        return self.memory.locks.get(model.key) or (stored if is_plain and is_same else None)

    def learn(self, locks: Mapping[str, LockedModel]) -> None:
        """Remember what models are now."""
        self.memory = replace(self.memory, locks={**self.memory.locks, **locks})

    @property
    def open(self) -> tuple[WantedModel, ...]:
        """The models that have to be asked about: those that no lock fixes, unless their commit is known for good."""
        models = self.wanted.models if self.wanted else ()
        return tuple(
            one
            for one in models
            if one.item.locked is None and not (one.item.ref.is_commit and one.key in self.memory.locks)
        )

    @property
    def set(self) -> ModelSet | None:
        """The set of the wish; None while it is not known what all of its models are."""
        if self.wanted is None:
            return None
        models = []
        for model in self.wanted.models:
            locked = model.item.locked or self.memory.locks.get(model.key)
            if locked is None:
                return None
            models.append(SetModel(model.name, locked, model.item.priority))
        return ModelSet(tuple(models), self._rules)

    @property
    def budget(self) -> SetBudget:
        """The limits that hold now."""
        return self.wanted.budget if self.wanted else self._budget

    @property
    def grace(self) -> float:
        """Seconds for which a set stays after another took its place."""
        return self.wanted.grace if self.wanted else (GRACE if self._grace is None else self._grace)
