"""A list of models to pull: plain lines, or TOML.

Plain lines (`#` starts a comment; quotes work as in a shell):

    zai-org/AutoGLM-Phone-9B
    org/name@v1.0  include=*.json include=*.safetensors exclude=original/*  local-dir="plain copy"
    @include other.txt

TOML:

    include = ["other.txt", "more.toml"]

    [[model]]
    ref = "org/name@v1.0"
    include = ["*.json"]
    exclude = []
    variant = "fp16"
    local_dir = "plain copy"
    priority = 10                 # higher is fetched earlier

A path of an include is relative to the folder of the list that names it. A list that is included twice counts once,
where it comes first.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields

from orchestrator.core.refs import Ref, names_revision, parse_ref
from orchestrator.errors import UsageError
from orchestrator.lists.quantizations import split_quantization
from orchestrator.lists.toml import parse_toml

_INCLUDE = "@include"
# A symbolic link can give one file endless names, which are no cycle to see.
_DEEPEST = 16
_MOST_FILES = 1000


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One model of a list. `local_dir` is as written; a relative one is relative to the list's folder.

    `where` is the line, or the table, that names it; `quantization` what the ref names behind a colon.
    """

    ref: Ref
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    local_dir: str | None = None
    priority: int = 0
    variant: str = ""
    where: str = field(default="", compare=False)
    quantization: str = ""


@dataclass(frozen=True, slots=True)
class Include:
    """Another list whose models belong here. `path` is as written, `where` says in which line that is."""

    path: str
    where: str


@dataclass(frozen=True, slots=True)
class ModelList:
    """The content of a list: each entry with the path of the list that names it, and every file read, in order."""

    entries: tuple[tuple[ListEntry, str], ...]
    files: tuple[str, ...]


_KEYS = tuple(item.name for item in fields(ListEntry) if item.name not in ("where", "quantization"))
_AT_LINE = re.compile(r"at line (\d+)")
# A backslash that a shell would take away before a character that needs none: a path of another system.
_NEEDLESS = re.compile(r"\\[\w.*?-]")


class _WrongError(Exception):
    """A mistake in a list, and `where`. Where the message quotes the list, `plain` says it without."""

    def __init__(self, where: str, message: str, hint: str | None = None, plain: str | None = None) -> None:
        super().__init__(message)
        self.where, self.message, self.hint, self.plain = where, message, hint, plain


def parse_list(
    text: str, name: str, *, revision: str | None = None, is_included: bool = False
) -> tuple[ListEntry | Include, ...]:
    """Parse one list; `gather` follows what it includes.

    `name` is the file's name: it is put in errors, and one that ends with `.toml` is read as TOML. `revision` applies
    where an entry names none. Raises UsageError that starts with `name:line`, or for TOML with the number of the
    `[[model]]`. The author of a list chooses what it includes, which may be a private file of the reader's; so with
    `is_included` an error quotes nothing of the text.
    """
    text = text.removeprefix("\ufeff")
    try:
        return _toml(text, name, revision) if name.endswith(".toml") else _lines(text, name, revision)
    except _WrongError as error:
        if not is_included or error.plain is None:
            raise _told(error) from error.__cause__
        wrong = f"{error.where}: {error.plain}"
    raise UsageError(wrong, hint=f"inspect it with: glm-aria plan -f {shlex.quote(name)}")


def parse_tables(
    document: Mapping[str, object], name: str, also: tuple[str, ...] = (), of_models: tuple[str, ...] = ()
) -> tuple[ListEntry | Include, ...]:
    """The same for TOML that was read already: the includes come first, then the models in their order. `also` and
    `of_models` are keys that the caller has taken out of it, and that hints name, too."""
    try:
        return _tables(document, name, None, also, of_models)
    except _WrongError as error:
        raise _told(error) from error.__cause__


def _told(error: _WrongError) -> UsageError:
    return UsageError(f"{error.where}: {error.message}", hint=error.hint)


def _lines(text: str, name: str, revision: str | None) -> tuple[ListEntry | Include, ...]:
    entries: list[ListEntry | Include] = []
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{name}:{number}"
        if number == 1 and line.lstrip().startswith("[["):
            raise _WrongError(where, "this looks like TOML", hint="name the file with .toml at its end")
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise _WrongError(where, f"{str(error).lower()}", hint="quotes work as in a shell") from error
        if _loses_a_backslash(line, words):
            raise _WrongError(
                where,
                "a backslash is read as in a shell, and would be lost here",
                hint="write / between folders; write a literal backslash twice, or in single quotes",
            )
        if words and words[0] == _INCLUDE:
            if len(words) != 2 or not words[1]:
                raise _WrongError(where, f"{_INCLUDE} takes one file", hint=f"{_INCLUDE} other.txt")
            entries.append(Include(words[1], where))
        elif words:
            entries.append(_line(words, where, revision))
    return tuple(entries)


def _loses_a_backslash(line: str, words: list[str]) -> bool:
    if "\\" not in line:
        return False
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.escape = True, ""
    try:
        as_written, read = " ".join(lexer), " ".join(words)
    except ValueError:  # an escaped quote
        return False
    return any(found not in read for found in _NEEDLESS.findall(as_written))


def _line(words: list[str], where: str, revision: str | None) -> ListEntry:
    options: dict[str, list[str]] = {"include": [], "exclude": [], "local-dir": [], "variant": []}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals or key not in options:
            raise _WrongError(
                where,
                f"{word!r} is not an option of a list",
                hint=f"did you mean {close}=…?"
                if (close := _closest(key, options))
                else "include=GLOB, exclude=GLOB, variant=NAME and local-dir=DIR are; one file of it: include=FILE",
                plain="a word behind the REF is not an option of a list",
            )
        if not value:
            raise _WrongError(where, f"{key}= is empty")
        options[key].append(value)
    for key in ("local-dir", "variant"):
        if len(options[key]) > 1:
            raise _WrongError(where, f"{key} is given twice")
    ref, quantization = _ref(words[0], where, revision)
    return ListEntry(
        ref,
        tuple(options["include"]),
        tuple(options["exclude"]),
        options["local-dir"][0] if options["local-dir"] else None,
        variant=options["variant"][0] if options["variant"] else "",
        where=where,
        quantization=quantization,
    )


def _toml(text: str, name: str, revision: str | None) -> tuple[ListEntry | Include, ...]:
    try:
        document = parse_toml(text)
    except ValueError as error:
        line = _AT_LINE.search(str(error))
        plain = f"not valid TOML{f' in line {line[1]}' if line else ''}"
        raise _WrongError(name, f"not valid TOML: {error}", plain=plain) from error
    return _tables(document, name, revision)


def _tables(
    document: Mapping[str, object],
    name: str,
    revision: str | None,
    also: tuple[str, ...] = (),
    of_models: tuple[str, ...] = (),
) -> tuple[ListEntry | Include, ...]:
    _refuse_unknown(document, ("include", "model", *also), name)
    models = document.get("model", [])
    if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
        raise _WrongError(name, "model must be a list of tables", hint="start each one with [[model]]")
    included = document.get("include", [])
    if not isinstance(included, list) or not all(isinstance(path, str) and path for path in included):
        raise _WrongError(name, "include must be a list of files", hint='include = ["more.toml"]')
    return (
        *(Include(path, f"{name}: include") for path in included),
        *(_table(model, f"{name}: model {number}", revision, of_models) for number, model in enumerate(models, 1)),
    )


def _table(model: Mapping[str, object], where: str, revision: str | None, also: tuple[str, ...]) -> ListEntry:
    _refuse_unknown(model, (*_KEYS, *also), where)
    ref, local_dir, priority = model.get("ref"), model.get("local_dir"), model.get("priority", 0)
    variant = model.get("variant", "")
    if not isinstance(variant, str):
        raise _WrongError(where, "variant must be a text", hint='variant = "fp16"')
    if not isinstance(ref, str):
        raise _WrongError(where, "ref is missing or not a text", hint='ref = "org/name"')
    # A TOML boolean is an int to Python.
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise _WrongError(where, "priority must be a whole number")
    if local_dir is not None and (not isinstance(local_dir, str) or not local_dir):
        raise _WrongError(where, "local_dir must be a text")
    named, quantization = _ref(ref, where, revision)
    return ListEntry(
        named,
        _globs(model, "include", where),
        _globs(model, "exclude", where),
        local_dir,
        priority,
        variant,
        where,
        quantization,
    )


def _globs(model: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = model.get(key, [])
    if not isinstance(value, list) or not all(isinstance(glob, str) and glob for glob in value):
        raise _WrongError(where, f"{key} must be a list of globs", hint=f'{key} = ["*.json"]')
    return tuple(value)


def _refuse_unknown(table: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            close = _closest(key, known)
            hint = f"did you mean {close}?" if close else f"known here: {', '.join(known)}"
            raise _WrongError(where, f"unknown key {key!r}", hint, "it holds an unknown key")


def _closest(word: str, known: Iterable[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(word, tuple(known), 1)), None)


def _ref(text: str, where: str, revision: str | None) -> tuple[Ref, str]:
    """The ref that a list names, and its quantisation."""
    text, quantization = split_quantization(text)
    try:
        # A repo that names its own revision is left alone: `--revision` is for those of the list that do not.
        return parse_ref(text, revision=None if names_revision(text) else revision), quantization
    except UsageError as error:
        raise _WrongError(where, error.message, error.hint, "this is no REF") from error


# -- lists that include others


def gather(path: str, read: Callable[[str], str], *, shown: str = "", revision: str | None = None) -> ModelList:
    """Read the list at `path` and all that it includes.

    `read` gives a file's text, or raises UsageError. `shown` is the list's name in errors, by default its path;
    `revision` applies where an entry names none. Raises UsageError that says where: for what `parse_list` refuses, for
    a list that includes itself, and for one that cannot be read.
    """
    reading = _Reading(read, revision)
    reading.take(path, shown or path, (posixpath.normpath(path),))
    return ModelList(tuple(reading.entries), tuple(reading.files))


@dataclass(slots=True)
class _Reading:
    read: Callable[[str], str]
    revision: str | None
    entries: list[tuple[ListEntry, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def take(self, path: str, shown: str, above: tuple[str, ...]) -> None:
        self.files.append(path)
        self.seen.add(above[-1])
        for entry in parse_list(self.read(path), shown, revision=self.revision, is_included=len(above) > 1):
            if isinstance(entry, ListEntry):
                self.entries.append((entry, path))
            else:
                self._follow(entry, path, above)

    def _follow(self, include: Include, path: str, above: tuple[str, ...]) -> None:
        # Read by the path as it is written: `..` after a symbolic link is not the folder before it.
        place = posixpath.join(posixpath.dirname(path), include.path)
        target = posixpath.normpath(place)
        if target in above:
            way = " -> ".join((*above[above.index(target) :], target))
            raise UsageError(
                f"{include.where}: {include.path} includes this list again: {way}",
                hint="take one of these includes out",
            )
        if target in self.seen:
            return
        if len(above) >= _DEEPEST or len(self.seen) >= _MOST_FILES:
            raise UsageError(
                f"{include.where}: too many lists include each other",
                hint=f"at most {_DEEPEST} deep and {_MOST_FILES} in all",
            )
        try:
            self.take(place, place, (*above, target))
        except UsageError as error:
            if error.message.startswith(place):
                raise
            raise UsageError(f"{include.where}: {error.message}", hint=error.hint) from error
