"""`plan` tells the truth and touches nothing; its input file works with plain aria2c; single files by address."""

from __future__ import annotations

import hashlib
import subprocess

from tests.hub.content import generate
from tests.hub.faults import Fault
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, sent
from tests.machine.machine import REPOSITORY, Machine

FILES = {"config.json": b"{}\n", "model.safetensors": generate(3 << 20, 1), "sub/deep/a.txt": b"a" * 300}


def test_plan_touches_nothing(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    hub = make_hub(repo)
    before = sorted(machine.folder.rglob("*"))
    data = machine.plan("org/m").ended(0).document["data"]
    assert sorted(machine.folder.rglob("*")) == before
    assert sent(hub) == []
    assert data["bytes_to_fetch"] == sum(map(len, FILES.values()))
    assert data["files_to_fetch"] == len(FILES)
    assert {file["path"]: file["action"] for file in data["models"][0]["files"]} == dict.fromkeys(FILES, "fetch")
    assert machine.pull("--dry-run", "org/m").ended(0).document["command"] == "plan"
    machine.pull("org/m").ended(0)
    data = machine.plan("org/m").ended(0).document["data"]
    assert data["bytes_to_fetch"] == 0
    assert {file["action"] for file in data["models"][0]["files"]} == {"keep"}


def test_the_plan_is_a_table_of_files(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    hub = make_hub(repo)
    out = machine.run("plan", "--root", hub.url, "org/m").ended(0).out
    assert repo.head in out
    lines = {line.split()[-1]: line.split()[0] for line in out.splitlines() if line.startswith("  ")}
    assert lines == dict.fromkeys(FILES, "fetch")
    assert "in 3 file(s)" in out


def test_the_plan_by_folder(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    hub = make_hub(repo)
    out = machine.run("plan", "--root", hub.url, "org/m", "--by-folder").ended(0).out
    rows = [line.split() for line in out.splitlines() if line.startswith("  ")]
    assert [(row[-1], row[-2]) for row in rows[1:]] == [("sub", "1"), ("sub/deep", "1"), (".", "3")]
    assert "model.safetensors" not in out
    machine.pull("org/m", "config.json").ended(0)
    folders = machine.plan("org/m").ended(0).document["data"]["models"][0]["folders"]
    total = sum(map(len, FILES.values()))
    assert folders == [
        {"path": "sub", "files": 1, "bytes_total": 300, "bytes_to_fetch": 300},
        {"path": "sub/deep", "files": 1, "bytes_total": 300, "bytes_to_fetch": 300},
        {"path": ".", "files": 3, "bytes_total": total, "bytes_to_fetch": total - len(FILES["config.json"])},
    ]


def test_plan_of_a_missing_one(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    make_hub(repo)
    assert len(machine.plan("org/m", "org/missing").ended(3).document["data"]["models"]) == 2
    machine.plan("org/missing").ended(66)


def test_plain_aria2c_takes_the_input_file(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    hub = make_hub(repo)
    near = hub.mirror("near")
    machine.plan("org/m", "--mirror", near.url, "--aria2-input", "jobs.txt").ended(0)
    command = ["aria2c", f"--conf-path={REPOSITORY / 'aria2.conf'}", "-i", "jobs.txt", "--quiet"]
    env = {name: value for name, value in machine.env.items() if name != "HF_TOKEN"}
    subprocess.run(command, cwd=machine.work, env=env, check=True, timeout=60)
    fetched = {path.read_bytes() for path in (machine.work / "jobs.d").rglob("*") if path.is_file()}
    assert fetched == set(FILES.values())


# -- a single file by its address

WEIGHTS = FILES["model.safetensors"]
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def test_a_single_file_is_pulled_by_its_digest(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    hub = make_hub(repo)
    url = f"{hub.url}/org/m/resolve/main/model.safetensors"
    done = machine.run("pull", url, "--sha256", SHA256, "--local-dir", "plain", "--json").ended(0)
    assert (machine.work / "plain" / "model.safetensors").read_bytes() == WEIGHTS
    assert done.model["trust"]["level"] == "single"
    assert hub.log.tokens() == set(), "an address is no token host"
    again = machine.run("pull", url, "--sha256", SHA256, "--local-dir", "plain", "--json").ended(0)
    assert again.model["bytes_fetched"] == 0


def test_a_single_file_with_wrong_bytes(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    hub = make_hub(repo)
    hub.fault(Fault("substitute", "model.safetensors"), face="cdn")
    url = f"{hub.url}/org/m/resolve/main/model.safetensors"
    machine.run("pull", url, "--sha256", SHA256, "--json").ended(65)
    assert list(machine.work.iterdir()) == []


def test_a_single_file_that_is_missing(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    hub = make_hub(repo)
    machine.run("pull", f"{hub.url}/org/m/resolve/main/none.bin", "--sha256", SHA256, "--json").ended(66)
