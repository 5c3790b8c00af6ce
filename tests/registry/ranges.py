"""Ranges and versions made by chance, and some that are odd: questions for two programs that should agree."""

from __future__ import annotations

import random
from typing import NamedTuple

ODD = (
    *("", "*", " ", "x", "X", "latest", "prod", "blerg", "||", "|| 1", "^1.2.3 || ", "latest || 1", "* || 1.2.3-beta"),
    *("^0.0.1", "^0.0.x", "^0.0", "^0.x", "^0", "^1.x", "^01", "^v1.2.3", "^*", "^x.1.2", "^1.x.3", "^^1", "^ =1.2.3"),
    *("~1", "~1.2", "~0", "~>1.2.3", "~ > 1", "~*", "~^1", "~1.x.3", "~ 1.2.3"),
    *("1.2.3 - 2", "1.2 - 2.3", "1.2.3 - 2.3.4-beta", "1.0.0 - 2.0.0 - 3.0.0", "1 - 2.x.3", "1 - =2", "1 - =2.0.0"),
    *("1 - =2.0.0-a", "1.2.3 -2.0.0", "1.2.3- 2.0.0", "^1.2.3-1 - 2", "v1 - v2.0.0", "1.x.3 - 2", "* - 2"),
    *(">1", ">1.2", "<1", "<1.2", "<=1", "<=1.2", ">=1.x", ">x", "<x", ">*", "<*", "> =1.2.3", ">=  1.2.3", "<==1"),
    *("<==1.2.3", "==1.2.3", "==1", "=v1.2.3", "!1.2.3", ">1.x.3", ">=1.x.2", "<0.0.0", "<0.0.0-0", ">=0.0.0-0"),
    *("^1.2.3-beta.2", "~1.2.3-beta.2", ">1.2.3-alpha.3", ">=1.2.3-0 <2", "^0.0.3-beta", "<=1.2.3-beta 1.2.3-beta"),
    *("1.2.3+build", "^1.2.3+build", ">=1.2.3+build <2.0.0+other", "1.2.3-beta+build"),
    *("x.1", "1.x.3", "1.*.2", "1.2.3.4", "01.2.3", "1.2.3-01", "1.2.3-", "1.2.beta", "1.2.3beta", "1.2-beta", "v1"),
    *("v 1.2.3", "\t1.2.3", "1.2.3\n", "1.2.3  \t ^1", ">=1.0.0,<2", "^1.2.3 ^1.3.0", ">=1.0.0-x-1"),
    *("9007199254740991.0.0", "9007199254740992.0.0", "^9007199254740991.0.0", "a" * 300, "1.2.3-" + "a" * 260),
)
_USUAL = (
    *("0.0.0-0", "0.0.0", "0.0.1", "0.0.2", "0.0.3-beta", "0.0.3-beta.2", "0.1.0", "0.2.0", "1.0.0", "1.0.0-x-1"),
    *(
        "1.2.0",
        "1.2.3-alpha.11",
        "1.2.3-beta",
        "1.2.3-beta.2",
        "1.2.3",
        "1.2.3+build",
        "1.2.4-beta",
        "1.2.4",
        "1.3.0-0",
    ),
    *("1.3.0", "2.0.0-0", "2.0.0-rc.1", "2.0.0", "2.3.4-beta", "2.3.4", "2.3.9", "2.4.0", "3.0.0-0", "3.0.0"),
)


class Case(NamedTuple):
    """A range, and versions that may be in it."""

    text: str
    versions: tuple[str, ...]


def cases(seed: int, count: int) -> list[Case]:
    """So many by chance, then the odd ones."""
    drawn = _Drawn(random.Random(seed))
    made = [Case(drawn.range(), tuple(drawn.version() for _ in range(12))) for _ in range(count)]
    return made + [Case(text, _USUAL) for text in ODD]


class _Drawn:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._one_of = chance.choice

    def version(self) -> str:
        text = f"{self._number()}.{self._number()}.{self._number()}"
        if self._chance.random() < 0.35:
            words = ("alpha", "beta", "rc", "0", "1", "11", "dev", "x-1")
            text += "-" + ".".join(self._one_of(words) for _ in range(self._one_of((1, 1, 2))))
        return text + (self._one_of(("+build", "+1", "+a.b")) if self._chance.random() < 0.15 else "")

    def range(self) -> str:
        return self._one_of((" || ", "||")).join(self._alternative() for _ in range(self._one_of((1, 1, 1, 2, 3))))

    def _alternative(self) -> str:
        if self._chance.random() < 0.15:
            return f"{self._partial()} - {self._partial()}"
        return self._one_of((" ", "  ")).join(self._comparator() for _ in range(self._one_of((1, 1, 1, 2, 3))))

    def _comparator(self) -> str:
        signs = ("", "", "^", "~", "~>", ">", ">=", "<", "<=", "=", "^ ", ">= ", "~ ", "< ")
        return self._one_of(signs) + self._partial()

    def _partial(self) -> str:
        form = self._one_of(("*", "N", "N.*", "N.N", "N.N", "N.N.*", "N.*.*", *["version"] * 6))
        if form == "version":
            return self._one_of(("", "", "v", "=")) + self.version()
        wild = form.replace("*", self._one_of(("x", "X", "*")))
        return "".join(str(self._number()) if character == "N" else character for character in wild)

    def _number(self) -> int:
        return self._one_of((0, 0, 0, 1, 1, 2, 3, 10))
