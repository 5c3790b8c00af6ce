"""The options of a command as one frozen value with types, made from a dataclass that says both.

    @dataclass(frozen=True, slots=True)
    class RmOptions:
        refs: Annotated[tuple[str, ...], argument("REF...", required=True)]
        yes: Annotated[bool, option("--yes", help="Do it.")]
        output: Output

    @click.command()
    @takes(RmOptions)
    def rm(options: RmOptions) -> int: ...

The type of a field says what click is told: bool is a flag, a tuple may be given again, a Literal is a choice. A field
without a mark is a group of options, a dataclass of its own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import click

_Options = TypeVar("_Options")
_Result = TypeVar("_Result")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Headed(click.Option):
    """An option that `--help` shows under a heading."""

    def __init__(self, *args: Any, heading: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


@dataclass(frozen=True, slots=True)
class Parameter:
    """The click parameter of a field. `setting` is the setting that the field says, `means` its value where a flag is
    given and nothing else says that setting."""

    names: tuple[str, ...]
    more: Mapping[str, Any]
    setting: str | None = None
    means: object = None

    def decorator(self, field: str, kind: Any) -> Decorator:
        """The decorator of click for a field of this name and type."""
        if self.names:
            return click.option(*self.names, field, **{**_as_option(kind), **self.more})
        several: dict[str, Any] = {"nargs": -1} if get_origin(kind) is tuple else {}
        return click.argument(field, **{**several, **self.more})


def option(
    *names: str, heading: str | None = None, setting: str | None = None, means: object = None, **more: Any
) -> Parameter:
    """An option; `more` are click's own words, such as help and metavar."""
    headed = {} if heading is None else {"cls": Headed, "heading": heading}
    return Parameter(names, headed | more, setting, means)


def argument(metavar: str, **more: Any) -> Parameter:
    """An argument."""
    return Parameter((), {"metavar": metavar, **more})


def takes(kind: type[_Options]) -> Callable[[Callable[[_Options], _Result]], Callable[..., _Result]]:
    """Let a command take the options of `kind`, as its one argument."""

    def decorate(function: Callable[[_Options], _Result]) -> Callable[..., _Result]:
        @functools.wraps(function)
        def call(**given: Any) -> _Result:
            return function(_made(kind, given))

        # Decorators apply from the bottom up, and click shows the options in that order turned around.
        for decorator in reversed(list(_decorators(kind))):
            decorator(call)
        return call

    return decorate


def flags_of(options: object) -> dict[str, str]:
    """The flag of each setting that these options can say: one setting may have another name at another command."""
    found: dict[str, str] = {}
    for name, _, parameter in _fields(type(options)):
        if parameter is None:
            found |= flags_of(getattr(options, name))
        elif parameter.setting is not None:
            found.setdefault(parameter.setting, parameter.names[-1])
    return found


def settings_in(options: object) -> dict[str, object]:
    """The settings that options say; what was not given is left out."""
    found: dict[str, object] = {}
    for name, _, parameter in _fields(type(options)):
        value = getattr(options, name)
        if parameter is None:
            found |= {setting: said for setting, said in settings_in(value).items() if setting not in found}
        elif parameter.setting is None or value in (None, ()) or value is False:
            continue
        elif parameter.means is None:
            found[parameter.setting] = value
        else:
            found.setdefault(parameter.setting, parameter.means)
    return found


def texts_of(options: object) -> dict[str, tuple[str, ...]]:
    """The texts that options say, by the flag: none for a switch. What was not given is left out, and so are arguments
    and what is said by default."""
    found: dict[str, tuple[str, ...]] = {}
    for name, base, parameter in _fields(type(options)):
        value = getattr(options, name)
        if parameter is None:
            found |= texts_of(value)
        elif parameter.names and value not in (None, (), False, parameter.more.get("default")):
            several = value if isinstance(value, tuple) else (value,)
            found[parameter.names[-1]] = () if base is bool else tuple(map(str, several))
    return found


def completed(options: _Options, texts: Mapping[str, tuple[str, ...]]) -> _Options:
    """The options, with what such texts say where nothing else was said. Raises ValueError for texts of no option."""
    found: dict[str, Any] = {}
    for name, base, parameter in _fields(type(options)):
        value = getattr(options, name)
        if parameter is None:
            found[name] = completed(value, texts)
        elif parameter.names and value in (None, (), False) and (said := texts.get(parameter.names[-1])) is not None:
            found[name] = _of_texts(base, said)
    return cast("_Options", dataclasses.replace(cast("Any", options), **found))


def _of_texts(kind: Any, said: tuple[str, ...]) -> object:
    if kind is bool:
        return True
    if get_origin(kind) is tuple:
        return said
    (text,) = said
    return int(text) if int in (kind, *get_args(kind)) else text


def _fields(kind: type) -> Iterator[tuple[str, Any, Parameter | None]]:
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if get_origin(hint) is Annotated:
            base, parameter = get_args(hint)
            yield field.name, base, parameter
        else:
            yield field.name, hint, None


def _decorators(kind: type) -> Iterator[Decorator]:
    for name, base, parameter in _fields(kind):
        if parameter is None:
            yield from _decorators(base)
        else:
            yield parameter.decorator(name, base)


def _made(kind: type[_Options], given: Mapping[str, Any]) -> _Options:
    values = {
        name: given[name] if parameter is not None else _made(base, given) for name, base, parameter in _fields(kind)
    }
    return kind(**values)


class _Choice(click.Choice[str]):
    """One of some words; another one is answered with that which was probably meant."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        import difflib

        close = difflib.get_close_matches(str(value), self.choices, 1)
        message = super().get_invalid_choice_message(value, ctx)
        return f"{message} Did you mean {close[0]!r}?" if close else message


def _as_option(kind: Any) -> dict[str, Any]:
    """The arguments of a click option that follow from the type of a field."""
    if kind is bool:
        return {"is_flag": True}
    if get_origin(kind) is tuple:
        return {"multiple": True, **_as_option(get_args(kind)[0])}
    known = [item for item in (get_args(kind) or (kind,)) if item is not NoneType]
    if get_origin(kind) is Literal:
        return {"type": _Choice([str(item) for item in get_args(kind)])}
    if len(known) == 1 and get_origin(known[0]) is Literal:
        return {"type": _Choice([str(item) for item in get_args(known[0])])}
    return {"type": int} if known == [int] else {}
