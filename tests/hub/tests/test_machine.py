"""A test's machine leaves nothing that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.machine.machine import Machine, cmdline, until


@pytest.mark.parametrize("place", ["its own", "another"])
def test_a_daemon_that_a_test_left_is_ended(tmp_path: Path, place: str) -> None:
    """Also one whose runtime folder is not the machine's own."""
    machine = Machine(tmp_path / "machine", "hf_canary")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = {} if place == "its own" else {"XDG_RUNTIME_DIR": None, "TMPDIR": str(elsewhere)}
    pid = machine.run("daemon", "start", "--json", env=env).ended(0).document["data"]["pid"]
    assert machine.aria2() == [pid]
    machine.stop()
    assert until(lambda: "aria2c" not in cmdline(pid))
