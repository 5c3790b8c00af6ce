"""Files that say where the servers of this user are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.servers import announced, running_servers
from orchestrator.system import processes

URL = "http://[::1]:1/hf"
"""Not on 127.0.0.1, where the port is looked at as well."""


def test_a_server_is_found_while_it_runs(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    with announced(runtime, URL, tmp_path, "secret"):
        (found,) = running_servers([runtime, runtime])
        assert (found.url, found.pid, found.cache_dir, found.token) == (URL, os.getpid(), tmp_path, "secret")
        assert "secret" not in repr(found)
        (file,) = runtime.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
    assert running_servers([runtime]) == ()
    assert not runtime.exists()


def test_one_that_was_killed_is_not_found_and_the_next_one_removes_its_file(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib; from orchestrator.servers import announced\n"
        "with announced(pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path('/'), 's'): os.kill(os.getpid(), 9)"
    )
    runtime = tmp_path / "run"
    subprocess.run([sys.executable, "-c", program, str(runtime), URL], check=False, cwd=Path(__file__).parents[1])
    (left,) = runtime.iterdir()
    assert running_servers([runtime]) == ()
    with announced(runtime, URL, tmp_path, "secret"):
        assert not left.exists()
        assert len(running_servers([runtime])) == 1


def test_a_port_that_somebody_else_took_is_not_ours(tmp_path: Path) -> None:
    with announced(tmp_path / "run", "http://127.0.0.1:1", tmp_path, "secret"):
        assert running_servers([tmp_path / "run"]) == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1}', "[" * 999, '{"pid":"x","url":"u","since":""}'])
def test_what_is_no_such_file_is_passed_over(tmp_path: Path, text: str) -> None:
    with announced(tmp_path / "run", URL, tmp_path, "secret"):
        (tmp_path / "run" / "serve-x").write_text(text)
        (tmp_path / "run" / "serve-x").chmod(0o600)
        (tmp_path / "run" / processes.made_name("serve")).write_text(json.dumps({"open": "to others"}))
        assert len(running_servers([tmp_path / "run"])) == 1


def test_a_server_says_where_programs_here_reach_it_and_whether_it_has_a_registry(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    with announced(runtime, URL, tmp_path, "secret", near="https://registry.lab:1", has_registry=True):
        (found,) = running_servers([runtime])
        assert (found.near, found.has_registry) == ("https://registry.lab:1", True)
    with announced(runtime, URL, tmp_path, "secret"):
        (found,) = running_servers([runtime])
        assert (found.near, found.has_registry) == (URL, False)
    with announced(runtime, URL, tmp_path, "secret", near="http://127.0.0.1:1"):
        assert running_servers([runtime]) == (), "the port is somebody else's"
