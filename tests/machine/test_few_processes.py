"""Few processes and threads: a pull takes what it gets, or says which limit it was."""

from __future__ import annotations

import pytest

from tests.hub.content import generate
from tests.hub.repos import Repo
from tests.machine.conditions import as_user, give, limited, lone_uid, needs_root
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine

FILES = {"config.json": b"{}", **{f"{n}.bin": generate(3_000_000, n) for n in range(4)}}


@needs_root
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 10])
@pytest.mark.sampled(3)
def test_any_limit_of_processes_is_enough_or_told(machine: Machine, make_hub: MakeHub, repo: Repo, count: int) -> None:
    make_hub(repo)
    uid = lone_uid()
    give(machine.folder, uid)
    condition = as_user(uid) + limited(nproc=count)
    done = machine.pull("org/m", **condition.options)
    if done.code != 0:
        assert done.code in (71, 75)
        assert f"{count} processes and threads of this user (ulimit -u)" in done.error["message"]
        assert "ulimit -u" in done.error["hint"]
    else:
        assert count > 4
