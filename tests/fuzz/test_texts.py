"""Settings, lists and lock files that somebody else wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from orchestrator.settings.table import KEYS
from tests.fuzz.ground import KINDS, Ground, plant, spoiled

VALUES = (
    "true",
    "-1",
    "0",
    "1e400",
    "nan",
    '""',
    '"x"',
    '"../../outside"',
    '"~/x"',
    '"$HF_TOKEN"',
    '"~nobody-knows/x"',
    "[]",
    '["a", 1]',
    "{}",
    '"http://127.0.0.1:1/x"',
    '"http://[::1"',
    '"https://u:p@h"',
    '"\\u0000"',
    '"a\\nb"',
    "1979-05-27",
    '"root"',
    '"20M"',
    "99999999999999999999",
    '"socks5://h"',
    '"modelscope+https://x"',
    '[{url="http://127.0.0.1:1"}]',
)
REFS = (
    "org/m",
    "org/m@main",
    "datasets/org/m",
    "@include models.txt",
    "@include ../outside/models.txt",
    "local-dir=../outside",
    "local-dir=x",
    "local-dir=/",
    "include=*.json",
    "exclude=",
    "[[model]]",
    "ref =",
    '"org/m"',
    "priority=",
    "include = [",
    "#",
    "https://127.0.0.1:1/x",
    "a/../b",
    "org/m@" + "x" * 300,
    "local_dir = ",
    '"..\\\\x"',
)
SETTINGS = "\n".join(
    [
        "[trust]",
        'root = "http://127.0.0.1:1"',
        "[cache]",
        'dir = "hub"',
        "[transfer]",
        "jobs = 4",
        "[[mirror]]",
        'name = "a"',
        'url = "http://127.0.0.1:1"',
        "[aliases]",
        '"org/m" = "o/m"',
        "",
    ]
)


def settings_texts() -> st.SearchStrategy[bytes]:
    keys = [key.toml for key in KEYS.values() if key.toml and "." in key.toml]
    line = st.tuples(st.sampled_from(keys), st.sampled_from(VALUES)).map(lambda pair: f"{pair[0]} = {pair[1]}")
    lines = st.lists(line, max_size=4, unique_by=lambda text: text.split(" ")[0]).map("\n".join)
    return st.one_of(lines.map(str.encode), spoiled(SETTINGS, VALUES))


@pytest.mark.parametrize("name", ["work/glm-aria.toml", "config/glm-aria/config.toml"])
def test_settings_files(ground: Ground, name: str) -> None:
    commands = (
        ("config", "show"),
        ("plan", "--offline", "org/m"),
        ("cache", "ls"),
        ("env",),
        ("render", "aria2.service"),
    )
    cases = st.tuples(st.sampled_from(commands), st.sampled_from((*KINDS, *["bytes"] * 20)), settings_texts())

    def check(case: Any) -> None:
        words, kind, text = case
        plant(kind, ground.machine.folder / name, ground.outside, text)
        ground.holds(*words)

    ground.explore(cases, check)


def test_list_files(ground: Ground) -> None:
    lines = "org/m include=*.json\n# of ours\norg/m@main local-dir=here\n"
    toml = '[[model]]\nref = "org/m"\ninclude = ["*.json"]\nlocal_dir = "here"\npriority = 3\n'
    texts = st.one_of(
        st.tuples(st.just("models.txt"), spoiled(lines, REFS)),
        st.tuples(st.just("models.toml"), spoiled(toml, REFS)),
        st.tuples(st.just("models.txt"), st.lists(st.sampled_from(REFS), max_size=4).map(" \n".join).map(str.encode)),
    )
    commands = (("plan", "--offline", "-f"), ("pull", "--offline", "-f"), ("watch", "--once"), ("watch", "--status"))
    cases = st.tuples(st.sampled_from(commands), st.sampled_from((*KINDS, *["bytes"] * 20)), texts)

    def check(case: Any) -> None:
        words, kind, (name, text) = case
        path = Path(ground.machine.work, name)
        plant(kind, path, ground.outside, text)
        ground.holds(*words, str(path))

    ground.explore(cases, check)


def test_lock_files(ground: Ground) -> None:
    words = (
        '"../x"',
        '"/etc/x"',
        "-1",
        "99999999999999999999",
        "[",
        '""',
        '".git/config"',
        "true",
        "size = ",
        "[[model]]",
    )
    cases = st.tuples(
        st.sampled_from(("pull", "plan", "diff", "rewrite")),
        st.sampled_from((*KINDS, *["bytes"] * 20)),
        spoiled(ground.good_lock, words),
    )

    def check(case: Any) -> None:
        command, kind, text = case
        lock = ground.machine.work / "glm-aria.lock"
        plant(kind, lock, ground.outside, text)
        if command == "diff":
            ground.holds("lock", "diff", str(lock), str(ground.machine.folder / "good.lock"))
        elif command == "rewrite":
            ground.holds("pull", "org/m", "--offline", "--lock", str(lock))
        else:
            ground.holds(command, "--offline", "--locked", str(lock))

    ground.explore(cases, check)
