"""A runtime folder and a cache in which somebody else put anything in the place of anything."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.ground import KINDS, Ground, plant, spoiled

PIDS = (-1, 0, 1, 2, 1 << 31, 1 << 40, 10**20, "x", None, 3.5, True)


def test_a_runtime_folder(ground: Ground) -> None:
    """Whatever it says, no process that is not our aria2c is ended."""
    with subprocess.Popen(["sleep", "600"]) as victim:
        state = st.fixed_dictionaries(
            {},
            optional={
                "pid": st.sampled_from((*PIDS, victim.pid)),
                "url": st.sampled_from(("http://127.0.0.1:1/jsonrpc", "", "x", "http://[", 7)),
                "secret": st.sampled_from(("x", "", None, "a\nb")),
                "started": st.sampled_from(("", "1", 1, None)),
            },
        ).map(lambda value: json.dumps(value).encode())
        folder = st.sampled_from([f"run-{pid}-abcd1234" for pid in PIDS] + ["run--", "run-1-", "x", "daemon.json"])
        cases = st.tuples(
            st.sampled_from(
                (("daemon", "status"), ("daemon", "stop"), ("pull", "--offline", "org/m"), ("pull", "org/m"))
            ),
            st.lists(
                st.tuples(
                    st.one_of(
                        st.sampled_from(("", "daemon.json", "daemon.lock", "aria2.conf", "aria2.log")),
                        st.tuples(folder, st.sampled_from(("", "/daemon.json", "/aria2.conf"))).map("".join),
                    ),
                    st.sampled_from((*KINDS, *["bytes"] * 6)),
                    st.one_of(
                        state, spoiled(b'{"pid": 7, "url": "http://127.0.0.1:1/jsonrpc", "secret": "x"}', ("-1", "["))
                    ),
                ),
                max_size=4,
            ),
        )

        def check(case: Any) -> None:
            words, plants = case
            top = ground.machine.runtime / "glm-aria"
            for name, kind, content in plants:
                place(kind, top / name, ground.outside, content)
            ground.holds(*words)
            assert victim.poll() is None, "the victim was ended"

        try:
            ground.explore(cases, check)
        finally:
            victim.kill()


READERS = (
    ("cache", "ls"),
    ("cache", "du"),
    ("verify",),
    ("verify", "--fast"),
    ("pull", "--offline", "org/m"),
    ("plan", "--offline", "org/m"),
    ("cache", "link", "org/m", "linked"),
    ("cache", "pin", "org/m"),
)
WRITERS = (("pull", "org/m"), ("cache", "gc", "--yes"), ("cache", "rm", "--yes", "org/m"), ("verify", "--repair"))


@pytest.mark.parametrize("part", ["hub", "glm-aria"])
@pytest.mark.parametrize("commands", [READERS, WRITERS], ids=["readers", "writers"])
def test_a_cache(ground: Ground, part: str, commands: Any) -> None:
    template = ground.folder / "template" / "hf"
    names = sorted(str(path.relative_to(template)) for path in (template / part).rglob("*"))
    odd = (
        "hub/x",
        "hub/models--",
        "hub/models--a",
        "hub/models--org--m/refs/a/b",
        "hub/models--org--m/snapshots/x",
        "hub/models--org--m/blobs/x",
        "hub/.locks/x",
        "glm-aria/stage/scratch-0-99999999999999999999-1-0123456789abcdef",
        "glm-aria/stage/x",
        "glm-aria/repos/x",
        "glm-aria/proofs/x",
    )
    json_like = spoiled(
        b'{"version": 1, "files": {"config.json": {"size": 2, "blob_id": "x"}}}', ("../..", "-1", "null")
    )
    plants = st.lists(
        st.tuples(st.sampled_from((*names, *odd)), st.sampled_from((*KINDS, *["bytes"] * 4)), json_like),
        min_size=1,
        max_size=3,
    )

    def check(case: Any) -> None:
        words, planted = case
        for name, kind, content in planted:
            place(kind, ground.machine.hf_home / name, ground.outside, content)
        ground.holds(*words)

    ground.explore(st.tuples(st.sampled_from(commands), plants), check)


def place(kind: str, path: Path, outside: Path, content: bytes) -> None:
    """Plant it, unless an earlier plant is in the way: then that one is enough."""
    try:
        plant(kind, path, outside, content)
    except (FileExistsError, NotADirectoryError, FileNotFoundError, OSError):
        return
