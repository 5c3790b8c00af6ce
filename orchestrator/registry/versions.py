"""Versions as SemVer 2.0 has them, and ranges of them as npm writes them. No I/O.

A range means what the package `semver` of node makes of it when nothing is set: `^1.2`, `~1.2.3`, `1.x`, `>=1.2 <2`,
`1.2 - 2.3`, and any of these with `||` between them. A prerelease is in a range only where one of its comparators names
a prerelease of the same three numbers. A build (`+build`) counts for nothing but the order of versions that are equal
otherwise.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import total_ordering
from typing import Any

_LONGEST = 256
"""Characters of a range, or of a version: as in node's package."""
_HIGHEST = (1 << 53) - 1
"""The highest number of a version: what JavaScript holds exactly."""

_NUMBER = r"0|[1-9]\d*"
_IDENTIFIER = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_PRERELEASE = rf"-({_IDENTIFIER}(?:\.{_IDENTIFIER})*)"
_BUILD = r"\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)"
_VERSION = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:{_PRERELEASE})?(?:{_BUILD})?", re.ASCII)
_PART = rf"({_NUMBER}|[xX*])"
_PARTIAL = rf"{_PART}(?:\.{_PART}(?:\.{_PART}(?:{_PRERELEASE})?(?:{_BUILD})?)?)?"
_OPEN = ("x", "X", "*")
_HYPHEN = re.compile(rf"([v= ]*){_PARTIAL} - ([v= ]*){_PARTIAL}", re.ASCII)
_COMPARATOR = re.compile(rf"(~ ?>?|\^|[<>]?=?) ?([v=]*){_PARTIAL}(?: |$)", re.ASCII)

_Identifiers = tuple[tuple[int, int, str], ...]
_Parts = tuple[int | None, int | None, int | None, str]
"""A partial version: its three numbers, None where any will do, and its prerelease."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A version; `prerelease` and `build` are the texts behind its `-` and `+`."""

    major: int
    minor: int
    patch: int
    prerelease: str = ""
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read `1.2.3-rc.1+build`. Raises ValueError."""
        found = _VERSION.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            raise ValueError(f"{text!r} is no version such as 1.2.3 or 1.2.3-rc.1")
        major, minor, patch, prerelease, build = found.groups(default="")
        return cls(_number(major), _number(minor), _number(patch), prerelease, build)

    @classmethod
    def of_tag(cls, tag: str) -> Version | None:
        """The version that a tag of a registry stands for; None for any other tag."""
        try:
            return cls.parse(tag.replace("_", "+", 1))
        except ValueError:
            return None

    @property
    def tag(self) -> str:
        """The tag of the version. A tag cannot hold a `+`, and a version no `_`."""
        return str(self).replace("+", "_")

    @property
    def precedence(self) -> tuple[int, int, int, bool, _Identifiers]:
        """A key for the order of SemVer; the same for versions that differ by their builds alone."""
        return self.major, self.minor, self.patch, not self.prerelease, _identifiers(self.prerelease)

    def __str__(self) -> str:
        prerelease = f"-{self.prerelease}" if self.prerelease else ""
        build = f"+{self.build}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.patch}{prerelease}{build}"

    def __lt__(self, other: Version) -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[object, ...]:
        return *self.precedence, bool(self.build), _identifiers(self.build)


@dataclass(frozen=True, slots=True)
class _Comparator:
    """An operator (one of _OPERATORS) and what a version is compared with."""

    sign: str
    bound: Version

    def takes(self, version: Version) -> bool:
        return _OPERATORS[self.sign](version.precedence, self.bound.precedence)

    def is_about_prereleases_of(self, version: Version) -> bool:
        bound = self.bound
        numbers = (bound.major, bound.minor, bound.patch)
        return bool(bound.prerelease) and numbers == (version.major, version.minor, version.patch)


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}
_NONE = (_Comparator("<", Version(0, 0, 0, "0")),)
"""No version is below the first one."""


@dataclass(frozen=True, slots=True)
class Range:
    """A set of versions: those that all comparators of one of its `alternatives` take."""

    text: str
    alternatives: tuple[tuple[_Comparator, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read a range. Raises ValueError."""
        if len(text) > _LONGEST:
            raise ValueError(f"a range has at most {_LONGEST} characters")
        parts = (" ".join(part.split()) for part in text.split("||"))
        try:
            alternatives = tuple(_alternative(part) for part in parts)
        except ValueError as error:
            raise ValueError(f"{text!r} is no range of versions such as ^1.2 or >=1.2 <2") from error
        # As in node: what takes all takes no prerelease, whatever stands beside it.
        return cls(text, ((),) if () in alternatives else alternatives)

    def __contains__(self, version: Version) -> bool:
        return any(_take(comparators, version) for comparators in self.alternatives)

    def newest(self, versions: Iterable[Version]) -> Version | None:
        """The newest of these versions that is in the range."""
        return max((version for version in versions if version in self), default=None)


def _take(comparators: tuple[_Comparator, ...], version: Version) -> bool:
    if not all(comparator.takes(version) for comparator in comparators):
        return False
    return not version.prerelease or any(one.is_about_prereleases_of(version) for one in comparators)


def _alternative(text: str) -> tuple[_Comparator, ...]:
    """The comparators of what stands between two `||`, without those that take everything."""
    comparators: list[_Comparator] = []
    if (found := _HYPHEN.fullmatch(text)) is not None:
        groups = found.groups()
        comparators += (*_from(groups[0], groups[1:6]), *_up_to(groups[6], groups[7:12]))
        text = ""
    at = 0
    while at < len(text):
        if (found := _COMPARATOR.match(text, at)) is None:
            raise ValueError(text[at:])
        at = found.end()
        comparators += _desugared(found[1], found[2], found.groups()[2:])
    return tuple(one for one in comparators if one != _Comparator(">=", Version(0, 0, 0)))


def _desugared(sign: str, prefix: str, groups: tuple[str | None, ...]) -> tuple[_Comparator, ...]:
    parts = _parts(groups)
    if sign.startswith("~"):
        return _between(parts, _next(*parts[:2]))
    if sign == "^":
        return _between(parts, _next_incompatible(*parts[:3]))
    if _is_out_of_order(groups):
        raise ValueError("a number follows an open one")
    if sign in ("<", ">") and prefix.startswith("="):
        sign, prefix = f"{sign}=", prefix[1:]
    if None in parts:
        return _of_any(sign, parts)
    if not sign and prefix.startswith("="):
        sign, prefix = "=", prefix[1:]
    return (_Comparator(sign or "=", _whole(prefix, parts)),)


def _of_any(sign: str, parts: _Parts) -> tuple[_Comparator, ...]:
    """The comparators of a partial version that leaves a number open."""
    lowest, above = _lowest(parts), _next(*parts[:2])
    match sign:
        case "<" | ">" if above is None:
            return _NONE
        case _ if above is None:
            return ()
        case ">":
            return (_Comparator(">=", _release(above)),)
        case "<":
            return (_Comparator("<", Version(lowest.major, lowest.minor, lowest.patch, "0")),)
        case ">=":
            return (_Comparator(">=", lowest),)
        case "<=":
            return (_Comparator("<", above),)
    return _between(parts, above)


def _between(parts: _Parts, above: Version | None) -> tuple[_Comparator, ...]:
    return () if above is None else (_Comparator(">=", _lowest(parts)), _Comparator("<", above))


def _from(prefix: str, groups: tuple[str | None, ...]) -> tuple[_Comparator, ...]:
    parts = _parts(groups)
    if None not in parts:
        return (_Comparator(">=", _whole(prefix, parts)),)
    return () if parts[0] is None else (_Comparator(">=", _lowest(parts)),)


def _up_to(prefix: str, groups: tuple[str | None, ...]) -> tuple[_Comparator, ...]:
    parts = _parts(groups)
    if None not in parts:
        # In node the prefix is left out where there is a prerelease.
        return (_Comparator("<=", _whole("" if parts[3] else prefix, parts)),)
    above = _next(*parts[:2])
    return () if above is None else (_Comparator("<", above),)


def _next(major: int | None, minor: int | None) -> Version | None:
    """The first version, of all prereleases, behind those with this major and, where there is one, this minor."""
    if major is None:
        return None
    return _first(major + 1, 0, 0) if minor is None else _first(major, minor + 1, 0)


def _next_incompatible(major: int | None, minor: int | None, patch: int | None) -> Version | None:
    """The first version behind those that change nothing but what is right of the leftmost number above zero."""
    if major or minor is None:
        return _next(major, None)
    if minor or patch is None:
        return _next(major, minor)
    return _first(0, 0, patch + 1)


def _first(major: int, minor: int, patch: int) -> Version:
    if max(major, minor, patch) > _HIGHEST:
        raise ValueError("too high")
    return Version(major, minor, patch, "0")


def _release(version: Version) -> Version:
    return Version(version.major, version.minor, version.patch)


def _lowest(parts: _Parts) -> Version:
    return Version(parts[0] or 0, parts[1] or 0, parts[2] or 0, "" if None in parts else parts[3])


def _whole(prefix: str, parts: _Parts) -> Version:
    if prefix not in ("", "v"):
        raise ValueError(prefix)
    return _lowest(parts)


def _parts(groups: tuple[str | None, ...]) -> _Parts:
    """The five groups of _PARTIAL. What stands behind an open number is open."""
    is_open, numbers = False, list[int | None]()
    for group in groups[:3]:
        is_open = is_open or group is None or group in _OPEN
        numbers.append(None if is_open else _number(group or ""))
    return numbers[0], numbers[1], numbers[2], groups[3] or ""


def _is_out_of_order(groups: tuple[str | None, ...]) -> bool:
    """True where a number stands behind an open one: `1.x.3`."""
    are_open = [group in _OPEN for group in groups[:3] if group is not None]
    return are_open != sorted(are_open)


def _number(text: str) -> int:
    number = int(text)
    if number > _HIGHEST:
        raise ValueError(f"{text} is too high a number for a version")
    return number


def _identifiers(text: str) -> _Identifiers:
    """A key for the order of identifiers: numbers by their value and first, then the others as text."""
    if not text:
        return ()
    return tuple((0, int(one), "") if one.isdecimal() else (1, 0, one) for one in text.split("."))
