"""Tokens that the user of a machine makes by the command."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.machine.machine import Machine


@dataclass
class NewTokens:
    """Makes tokens on a machine, and knows them all."""

    machine: Machine
    texts: list[str] = field(default_factory=list)

    def make(self, name: str, *words: str) -> str:
        """`glm-aria token create NAME WORDS`, whose output is the only place where the token may be seen."""
        self.texts.append(self.machine.run("token", "create", name, *words).ended(0).out.strip())
        self.machine.results.pop()
        return self.texts[-1]
