"""Models from the cache into folders and from folders into the cache, with the real command beside the real `hf`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import sent, wanted
from tests.machine.machine import Machine, Result, content

FILES = {"config.json": b'{"a": 1}\n', "model.safetensors": generate(1 << 20, 9), "code/model.py": b"import os\n" * 50}


def link(machine: Machine, *words: str, model: str = "org/m", folder: str = "p") -> Result:
    return machine.run("cache", "link", "--json", model, folder, *words)


def take(machine: Machine, *words: str, folder: str = "stick") -> Result:
    return machine.run("cache", "import", "--json", folder, *words)


def states(result: Result) -> dict[str, str]:
    return {Path(file["path"]).name: file["state"] for file in result.document["data"]["files"]}


def metadata(machine: Machine, name: str = "metadata.json") -> Any:
    return json.loads((machine.work / "p" / name).read_text())


# -- link


def test_a_project_folder_links_to_the_cache(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    machine.pull("org/m").ended(0)
    hub.log.reset()
    data = link(machine).ended(0).document["data"]
    assert (data["repo"], data["commit"], data["trust"]["level"]) == ("org/m", repo.head, "root")
    found = content(machine.work / "p")
    assert found.pop("metadata.json")
    places = {"checkpoints/model.safetensors": "model.safetensors"}
    assert found == {
        **{f"config/{path}": data for path, data in wanted(repo).items() if path != "model.safetensors"},
        **{place: wanted(repo)[path] for place, path in places.items()},
    }
    said = metadata(machine)
    assert (said["commit"], said["source"], said["trust"]) == (repo.head, hub.url, "root")
    assert said["versions"]["glm-aria"]
    assert {file["digest"].partition(":")[0] for file in said["files"]} == {"sha256", "git-sha1"}
    assert not hub.log.requests()
    before = {path: path.stat().st_mtime_ns for path in (machine.work / "p").rglob("*")}
    again = link(machine).ended(0).document["data"]
    assert not any(file["new"] for file in again["files"])
    assert {path: path.stat().st_mtime_ns for path in (machine.work / "p").rglob("*")} == before
    (machine.work / "p" / "config" / "config.json").write_bytes(b"mine\n")
    machine.run("verify", "--json").ended(0)
    assert machine.hf("cache", "verify", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    assert machine.hf("download", "org/m").returncode == 0


@pytest.mark.parametrize("mode", ["hard", "sym"])
def test_the_flat_layout_in_each_way(machine: Machine, hub: LoopbackHub, repo: Repo, mode: str) -> None:
    machine.pull("org/m").ended(0)
    for _ in range(2):
        data = link(machine, f"--{mode}", "--layout", "flat").ended(0).document["data"]
        assert {file["mode"] for file in data["files"]} == {mode}
    assert not any(file["new"] for file in data["files"])
    folder = machine.work / "p"
    made, blob = folder / "model.safetensors", machine.snapshot("model/org/m", repo.head) / "model.safetensors"
    assert made.samefile(blob)
    assert made.is_symlink() == (mode == "sym")
    found = content(folder)
    assert found.pop(".glm-aria/metadata.json")
    assert found == wanted(repo)
    changed = link(machine, "--layout", "flat").ended(0).document["data"]
    assert {file["mode"] for file in changed["files"]} <= {"copy", "reflink"}
    assert not made.samefile(blob)


@pytest.mark.parametrize("left", ["sym", "hard", "copy"])
def test_a_folder_that_a_killed_link_left(machine: Machine, hub: LoopbackHub, repo: Repo, left: str) -> None:
    """Its files are there, and nothing says that they are glm-aria's."""
    machine.pull("org/m").ended(0)
    link(machine, f"--{left}", "--layout", "flat").ended(0)
    (machine.work / "p" / ".glm-aria" / "metadata.json").unlink()
    data = link(machine, "--copy", "--layout", "flat").ended(0).document["data"]
    assert {file["mode"] for file in data["files"]} == {"copy"}
    assert wanted(repo).items() <= content(machine.work / "p").items()
    made = [path for path in (machine.work / "p").rglob("*") if not path.is_dir()]
    assert not any(path.is_symlink() or path.stat().st_nlink > 1 for path in made)


def test_a_part_of_a_model_says_so(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    machine.pull("org/m", "--include", "*.json").ended(0)
    done = link(machine, "--layout", "flat").ended(0)
    missing = {path for path in wanted(repo) if not path.endswith(".json")}
    (warning,) = done.document["warnings"]
    assert (warning["code"], warning["file"] in missing) == ("incomplete", True)
    assert f"{len(missing)} of the {len(wanted(repo))} files" in warning["message"]
    assert f"glm-aria pull org/m@{repo.head}" in warning["message"]
    machine.pull(f"org/m@{repo.head}").ended(0)
    assert link(machine, "--layout", "flat").ended(0).warnings == []


def test_reflink_or_an_error(machine: Machine, hub: LoopbackHub) -> None:
    machine.pull("org/m").ended(0)
    done = link(machine, "--reflink")
    if done.code == 0:  # the disk of this machine shares blocks
        assert {file["mode"] for file in done.document["data"]["files"]} == {"reflink"}
    else:
        assert "--hard" in done.ended(73).error["hint"]
        assert not [path for path in (machine.work / "p").rglob("*") if path.is_file()]


def test_what_is_the_users_stays(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    machine.pull("org/m").ended(0)
    folder = machine.work / "p"
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "config.json").write_bytes(b"theirs")
    (folder / "notes.txt").write_bytes(b"note")
    refused = link(machine).ended(73)
    assert "--force" in refused.error["hint"]
    assert content(folder) == {"config/config.json": b"theirs", "notes.txt": b"note"}
    link(machine, "--force").ended(0)
    assert content(folder)["config/config.json"] == FILES["config.json"]
    assert content(folder)["notes.txt"] == b"note"
    (folder / "config" / "code" / "model.py").write_bytes(b"edited")
    repo.commit({"code/model.py": b"new\n", "config.json": b'{"a": 2}\n'})
    machine.pull("org/m").ended(0)
    link(machine).ended(73)
    assert content(folder)["config/code/model.py"] == b"edited"
    assert content(folder)["config/config.json"] == FILES["config.json"]
    link(machine, "--force").ended(0)
    assert content(folder)["config/config.json"] == b'{"a": 2}\n'
    assert metadata(machine)["commit"] == repo.head


def test_metadata_of_somebody_else_remove_nothing(machine: Machine, hub: LoopbackHub) -> None:
    machine.pull("org/m").ended(0)
    victim = machine.work / "victim"
    victim.write_bytes(b"x")
    link(machine).ended(0)
    said = metadata(machine)
    for place in (str(victim), "../victim"):
        entry = {**said["files"][0], "place": place, "mtime_ns": victim.stat().st_mtime_ns, "size": 1}
        (machine.work / "p" / "metadata.json").write_text(json.dumps({**said, "files": [entry]}))
        link(machine, "--force").ended(0)
        assert victim.read_bytes() == b"x"


def test_planted_folders_and_rotten_blobs(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    assert machine.hf("download", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    (machine.work / "p").mkdir()
    (machine.work / "elsewhere").mkdir()
    (machine.work / "p" / "config").symlink_to(machine.work / "elsewhere")
    link(machine).ended(80)
    assert not list((machine.work / "elsewhere").iterdir())
    blob = (machine.snapshot("model/org/m", repo.head) / "model.safetensors").resolve()
    with blob.open("r+b") as stream:
        stream.write(b"rot")
    assert "verify" in link(machine, folder="q").ended(65).error["hint"]
    assert not (machine.work / "q").exists()


def test_a_model_that_hf_fetched_and_one_that_nobody_did(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    assert machine.hf("download", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    data = link(machine, "--layout", "flat").ended(0).document["data"]
    assert data["trust"] is None
    assert content(machine.work / "p")["model.safetensors"] == FILES["model.safetensors"]
    link(machine, model="org/nowhere", folder="q").ended(66)
    link(machine, model="org/m@v9", folder="q").ended(66)
    link(machine, "--hard", "--sym").ended(2)
    assert not (machine.work / "q").exists()


def test_a_programs_own_folder_there_and_back(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    machine.pull("org/m").ended(0)
    hub.log.reset()
    words = ("cache", "link", "--json", "org/m", "--layout", "lm-studio")
    own = machine.home / ".lmstudio" / "models"
    would = machine.run(*words, "--dry-run").ended(0).document["data"]
    assert (would["dry_run"], {file["mode"] for file in would["files"]}) == (True, {None})
    assert not own.exists()
    data = machine.run(*words).ended(0).document["data"]
    assert data["folder"] == str(own / "org" / "m")
    assert "LM Studio" in data["because"]
    found = content(own)
    assert found.pop("org/m/.glm-aria/metadata.json")
    assert found == {f"org/m/{path}": data for path, data in wanted(repo).items()}
    assert not hub.log.requests()
    machine.run("verify", "--json").ended(0)
    shutil.rmtree(machine.hf_home)
    back = machine.run("cache", "import", "--json", str(own), "--root", hub.url).ended(0)
    assert (back.document["data"]["layout"], set(states(back).values())) == ("lm-studio", {"imported"})
    hub.log.reset()
    machine.pull("org/m").ended(0)
    assert sent(hub) == []
    assert machine.run("cache", "import", "--json").ended(2).error["hint"]


# -- import


@pytest.fixture
def stick(machine: Machine) -> Path:
    """The model's files under other names, and strangers of the same and of another size."""
    folder = machine.work / "stick"
    (folder / "models" / "checkpoints").mkdir(parents=True)
    (folder / "models" / "checkpoints" / "big.sft").write_bytes(FILES["model.safetensors"])
    (folder / "c.txt").write_bytes(FILES["config.json"])
    (folder / "twin").write_bytes(b"x" * len(FILES["config.json"]))
    (folder / "other.bin").write_bytes(b"y" * 12345)
    return folder


def test_what_is_on_the_stick_is_not_fetched(machine: Machine, hub: LoopbackHub, repo: Repo, stick: Path) -> None:
    before = content(stick)
    words = ("--model", "org/m", "--root", hub.url)
    would = take(machine, *words, "--dry-run").ended(0)
    assert states(would) == {
        "big.sft": "would-import", "c.txt": "would-import", "twin": "unmatched", "other.bin": "unmatched",
    }  # fmt: skip
    assert not machine.hf_home.exists()
    done = take(machine, *words).ended(0)
    assert states(done)["big.sft"] == states(done)["c.txt"] == "imported"
    reasons = {Path(f["path"]).name: f["reason"] for f in done.document["data"]["files"] if f["reason"]}
    assert "this size" in reasons["other.bin"]
    assert "other bytes" in reasons["twin"]
    (model,) = done.document["data"]["models"]
    assert model["files_missing"] == len(wanted(repo)) - 2
    assert not (machine.cache / "models--org--m" / "refs").exists(), "a part is not the model"
    assert content(stick) == before
    hub.log.reset()
    machine.pull("org/m").ended(0)
    assert set(sent(hub)) == wanted(repo).keys() - {"model.safetensors", "config.json"}
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert machine.hf("cache", "verify", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    assert states(take(machine, *words).ended(0))["big.sft"] == "present"
    assert not list(machine.stage.iterdir())


def test_a_cache_of_hf_makes_a_whole_model(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    assert machine.hf("download", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    shutil.move(machine.cache, machine.work / "stick")
    hub.log.reset()
    done = take(machine, "--model", "org/m", "--root", hub.url).ended(0)
    assert done.document["data"]["models"][0]["files_missing"] == 0
    assert sent(hub) == []
    read = machine.hf("download", "org/m")
    assert read.returncode == 0, read.stderr
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert machine.hf("cache", "verify", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    machine.pull("org/m", "--offline").ended(0)


def test_a_locked_replay_from_a_folder_without_a_network(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    machine.pull("org/m", "--lock", "my.lock", "--local-dir", "stick").ended(0)
    shutil.rmtree(machine.hf_home)
    hub.log.reset()
    done = take(machine, "--locked", "my.lock").ended(0)
    assert done.document["data"]["models"][0]["files_missing"] == 0
    machine.run("pull", "--locked", "my.lock", "--offline", "--json").ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
    assert not hub.log.requests()
