"""Answers of a Hub's API in which any value is another one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.ground import REPO, Ground
from tests.hub.content import Bytes
from tests.hub.wire import Reply, Request

PATHS = (
    "../../outside/config.json",
    "/etc/x",
    ".git/config",
    "a\\b",
    "CON",
    "a:b",
    "x.",
    "config.json/x",
    "Config.json",
    "",
    ".",
    "a//b",
    "a" * 300,
    "\u202e",
    "e\u0301",
    "\x1b[2J",
    "-rf",
    "sub/../x",
    "glm-aria.toml",
    "a\nb",
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(PATHS),
    st.sampled_from(("0" * 40, "f" * 64, -1, 1 << 63, 1 << 70, 10**30)),
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
NAMES = ("sha", "type", "oid", "size", "path", "lfs", "private", "gated", "siblings")
"""The fields that the program reads, or may come to read."""


@dataclass(frozen=True, slots=True)
class Wound:
    """A value that takes the place of another: a walk down the document leads to it, by numbers or names of fields."""

    steps: tuple[int | str, ...]
    value: Any

    def apply(self, document: Any, depth: int = 0) -> Any:
        """The document with `value` at the end of the walk."""
        if depth >= len(self.steps) or not isinstance(document, dict | list) or not document:
            return self.value
        step = self.steps[depth]
        keys: list[Any] = list(document) if isinstance(document, dict) else list(range(len(document)))
        key: Any = step if step in keys else keys[step % len(keys)] if isinstance(step, int) else keys[-1]
        copy: Any = document.copy()
        copy[key] = self.apply(document[key], depth + 1)
        return copy


def wounds() -> st.SearchStrategy[Wound]:
    """A wound anywhere, or one of a field that is read; the path of a file often."""
    field = st.sampled_from(NAMES)
    anywhere = st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple)
    steps = (
        anywhere | st.tuples(field) | st.tuples(st.integers(0, 3), field) | st.tuples(st.just(2), st.just("lfs"), field)
    )
    path = st.builds(Wound, st.tuples(st.integers(0, 3), st.just("path")), st.sampled_from(PATHS))
    return st.builds(Wound, steps, SCALARS | JSON) | path


def test_listings(ground: Ground) -> None:
    wounded: tuple[tuple[str, ...], list[Wound]] = ((), [])
    changed = 0

    def change(request: Request, reply: Reply) -> Reply:
        nonlocal changed
        parts, now = wounded
        if reply.status != 200 or not any(part in request.path for part in parts):
            return reply
        document = json.loads(reply.content.read(0, reply.length))
        for wound in now:
            document = wound.apply(document)
        changed += 1
        content = Bytes(json.dumps(document).encode())
        return replace(reply, content=content, length=content.size)

    ground.hub.rewrite(change)
    commands = (
        ("plan", "org/m"),
        ("pull", "org/m"),
        ("pull", "org/m", "--local-dir", "here"),
        ("pull", f"org/m@{REPO.head}", "--trust", "commit"),
        ("pull", "org/m", "--lock", "l"),
    )
    # A listing that is in the cache is not asked for again: most cases have a new one.
    asked = ((("/revision/",), False), *[(("/tree/",), True)] * 3, (("/revision/", "/tree/"), True))
    cases = st.tuples(st.sampled_from(commands), st.sampled_from(asked), st.lists(wounds(), min_size=1, max_size=2))

    def check(case: Any) -> None:
        nonlocal wounded
        (command, name, *options), (parts, is_new), now = case
        wounded = parts, now
        if is_new:
            options += ["--cache-dir", str(ground.machine.work / "hub")]
        ground.holds(command, name, *options)

    ground.explore(cases, check)
    assert changed >= ground.cases / 2, "most cases met no changed answer"
