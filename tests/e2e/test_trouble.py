"""Bad mirrors, a root that lies, unsafe listings, a full disk: recover while one source is good, else refuse."""

from __future__ import annotations

import hashlib
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.hub.content import MIB, blob_names, generate, git_blob_oid, lfs_pointer
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, sent, wanted
from tests.machine.machine import Machine, content

WEIGHTS = generate(12 * MIB, 9)
FILES = {"config.json": b'{"a": 1}\n', "model.safetensors": WEIGHTS, "small.bin": generate(40_000, 2)}


def nothing_is_placed(machine: Machine) -> None:
    folder = machine.cache / "models--org--m"
    assert not (folder / "refs").exists()
    for blob in (folder / "blobs").glob("*"):
        data = blob.read_bytes()
        assert blob.name in blob_names(data), "wrong bytes were placed"


# -- mirrors


def test_two_honest_mirrors_carry_bytes(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    hub = make_hub(repo, cdn_shape=Shape(total_rate=4 * MIB))
    near, far = (
        hub.mirror("near", shape=Shape(total_rate=16 * MIB)),
        hub.mirror("far", own_cdn=True, shape=Shape(total_rate=8 * MIB)),
    )
    done = machine.pull("org/m", "--mirror", near.url, "--mirror", far.url).ended(0)
    assert done.warnings == []
    sources = next(file["sources"] for file in done.model["files"] if file["path"] == "model.safetensors")
    assert len(sources) >= 2
    assert sum(sources.values()) == pytest.approx(len(WEIGHTS), abs=3)
    assert hub.log.bytes_sent(face="near") + hub.log.bytes_sent(face="far-cdn") > 4 * MIB
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


@pytest.mark.parametrize("fault", ["substitute", "bit_flip"])
def test_a_lying_mirror_is_named_and_done_without(machine: Machine, make_hub: MakeHub, repo: Repo, fault: str) -> None:
    hub = make_hub(repo, cdn_shape=Shape(total_rate=6 * MIB))
    # Wrong all over: which ranges a mirror is asked for is chance.
    lies = [Fault(fault, "model.safetensors", after_bytes=at * MIB // 16 + 5) for at in range(12 * 16)]
    liar = hub.mirror("liar", shape=Shape(total_rate=24 * MIB), faults=lies)
    done = machine.pull("org/m", "--mirror", liar.url).ended(0)
    assert done.warnings == ["mirror-lied"]
    assert done.document["warnings"][0]["mirror"] == liar.url.removeprefix("http://")
    assert done.document["warnings"][0]["file"] == "model.safetensors"
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


@pytest.mark.parametrize(
    "fault", ["html_portal", "truncated", "truncated_unframed", "extra_byte", "lfs_pointer", "range_ignored", "gzip",
              "wrong_content_range", "reset", "endless", "status", "redirect_loop"]
)  # fmt: skip
@pytest.mark.sampled(4)
def test_no_fault_of_a_mirror_stops_a_pull(machine: Machine, hub: LoopbackHub, repo: Repo, fault: str) -> None:
    bad = hub.mirror("bad", faults=[Fault(fault, method="GET")])
    machine.pull("org/m", "--mirror", bad.url).ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_a_dead_mirror_is_told_and_done_without(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        done = machine.pull("org/m", "--mirror", f"http://{address}").ended(0)
    assert done.warnings == ["mirror-down"]
    assert done.document["warnings"][0]["mirror"] == address
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_a_mirror_with_another_content_is_left_out(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    other = Repo("model", "org/m", {**FILES, "model.safetensors": generate(12 * MIB, 10)})
    other.commits[repo.head] = other.commits[other.head]
    stale = hub.mirror("stale", repos=[other])
    done = machine.pull("org/m", "--mirror", stale.url).ended(0)
    assert done.warnings == ["mirror-differs"]
    assert hub.log.bytes_sent(face="stale", file="model.safetensors") == 0
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_no_mirrors_asks_none(machine: Machine, hub: LoopbackHub) -> None:
    near = hub.mirror("near")
    machine.pull("org/m", "--no-mirrors", env={"GLM_ARIA_MIRRORS": near.url}).ended(0)
    assert hub.log.requests(face="near") == []


# -- the root


@pytest.mark.parametrize("fault", ["substitute", "bit_flip", "html_portal", "truncated_unframed", "extra_byte"])
def test_a_root_that_sends_wrong_bytes(machine: Machine, hub: LoopbackHub, repo: Repo, fault: str) -> None:
    hub.fault(Fault(fault, "model.safetensors"), face="cdn")
    done = machine.pull("org/m").ended(65)
    assert done.error["file"] == "model.safetensors"
    assert done.error["code"] == "integrity"
    assert {f["path"]: f["state"] for f in done.model["files"]}["model.safetensors"] == "failed"
    nothing_is_placed(machine)
    hub.clear_faults()
    machine.pull("org/m").ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


@pytest.mark.parametrize("face", ["hub", "cdn"])
def test_a_line_that_breaks_now_and_then(machine: Machine, hub: LoopbackHub, repo: Repo, face: str) -> None:
    hub.fault(Fault("reset", times=2), Fault("status", status=503, times=2, skip=1, method="GET"), face=face)
    machine.pull("org/m").ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_a_root_that_is_down(machine: Machine) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        machine.root = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = machine.pull("org/m", env={"GLM_ARIA_ETAG_TIMEOUT": "1"}).ended(69)
    assert done.error["retryable"]


# -- what must not be followed


def listing(edit: Any) -> Fault:
    """The hub's tree, changed by `edit` (one entry each)."""

    def change(tree: Any) -> Any:
        for entry in tree:
            edit(entry)
        return tree

    return Fault("lying_listing", "/api/models/*/tree/*", edit=change)


@pytest.mark.parametrize(
    "name", ["../x", "/abs", "a/../../x", "C:\\x", ".git/config", "a\nb", "config.json/x", "x\x1b[31m"]
)
@pytest.mark.sampled(2)
def test_an_unsafe_name_refuses_the_whole_listing(machine: Machine, hub: LoopbackHub, name: str) -> None:
    def edit(entry: Any) -> None:
        if entry["path"] == "small.bin":
            entry["path"] = name

    hub.fault(listing(edit))
    before = set(machine.folder.rglob("*"))
    done = machine.pull("org/m").ended(80)
    assert "\x1b" not in done.error["message"]
    assert "\n" not in done.error["message"]
    assert sent(hub) == []
    new = set(machine.folder.rglob("*")) - before
    ours = {"claims", "runs"}  # who pulls what, and what was asked for
    assert not [path for path in new if path.is_file() and not ours & {*path.parts, path.name}], "something was written"
    assert not (machine.cache / "models--org--m").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "sub/x.pkl", "a.pt"])
def test_safe_only_refuses_a_pickle(machine: Machine, make_hub: MakeHub, name: str) -> None:
    repo = Repo("model", "org/m", {"config.json": b"{}", name: b"\x80\x04."})
    hub = make_hub(repo)
    done = machine.pull("org/m", "--safe-only").ended(80)
    assert done.error["file"] == name
    assert "--exclude" in done.error["hint"]
    assert sent(hub) == []
    machine.pull("org/m", "--safe-only", "--exclude", name).ended(0)


def test_a_model_too_large_for_the_disk_is_refused(machine: Machine, hub: LoopbackHub) -> None:
    """A listing of 15 TiB, honest in all but the size, does not fit on any disk that runs this test."""

    def edit(entry: Any) -> None:
        if entry["path"] == "model.safetensors":
            size = 15 << 40
            entry["size"] = entry["lfs"]["size"] = size
            entry["lfs"]["pointerSize"] = len(lfs_pointer(entry["lfs"]["oid"], size))
            entry["oid"] = git_blob_oid(lfs_pointer(entry["lfs"]["oid"], size))

    hub.fault(listing(edit))
    done = machine.pull("org/m").ended(79)
    assert done.error["resumable"]
    assert sent(hub) == []
    assert machine.plan("org/m").ended(0).document["data"]["disk"]["fits"] is False


def test_a_file_in_the_way_of_the_cache(machine: Machine, hub: LoopbackHub) -> None:
    (machine.folder / "file").write_text("in the way")
    done = machine.pull("org/m", "--cache-dir", str(machine.folder / "file" / "hub")).ended(73)
    assert "file" in done.error["message"]
    assert sent(hub) == []


def test_wrong_bytes_that_another_program_placed(machine: Machine, hub: LoopbackHub, repo: Repo) -> None:
    folder = machine.cache / "models--org--m" / "blobs"
    folder.mkdir(parents=True)
    blob = folder / hashlib.sha256(WEIGHTS).hexdigest()
    blob.write_bytes(generate(12 * MIB, 77))
    done = machine.pull("org/m").ended(0)
    assert done.warnings == ["cache-was-wrong"]
    assert blob.read_bytes() == WEIGHTS
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_right_bytes_that_another_program_placed(machine: Machine, hub: LoopbackHub) -> None:
    folder = machine.cache / "models--org--m" / "blobs"
    folder.mkdir(parents=True)
    (folder / hashlib.sha256(WEIGHTS).hexdigest()).write_bytes(WEIGHTS)
    done = machine.pull("org/m").ended(0)
    assert {f["path"]: f["state"] for f in done.model["files"]}["model.safetensors"] == "present"
    assert "model.safetensors" not in sent(hub)


# -- limits


def test_max_speed_holds(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("model", "org/m", {"m.safetensors": generate(6 * MIB, 1)})
    make_hub(repo)
    began = time.monotonic()
    machine.pull("org/m", "--max-speed", "2M").ended(0)
    took = time.monotonic() - began
    assert 2.0 < took < 12
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_strict_turns_a_warning_into_100(machine: Machine, make_hub: MakeHub) -> None:
    make_hub(Repo("model", "org/new", {"config.json": b"{}"}, renamed_from=("org/old",)))
    machine.pull("org/old", "--strict").ended(100)


def test_a_planted_symlink_is_not_followed(machine: Machine, hub: LoopbackHub, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    machine.cache.mkdir(parents=True)
    (machine.cache / "models--org--m").symlink_to(outside)
    machine.pull("org/m").ended(80)
    assert list(outside.iterdir()) == []


def test_what_a_liar_sent_in_an_earlier_run_is_found_out(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("model", "org/m", {"model.safetensors": generate(32 * MIB, 9)})
    hub = make_hub(repo, cdn_shape=Shape(total_rate=1e6))
    liar = hub.mirror("liar", shape=Shape(total_rate=6 * MIB), faults=[Fault("substitute", "model.safetensors")])
    running = machine.start_pull("org/m", "--mirror", liar.url)
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="liar") > 10 * MIB)
    running.signal(signal.SIGINT)
    running.end().ended(130)
    assert list(machine.stage.glob("*.journal"))
    hub.faces["cdn"].shape = Shape()
    machine.pull("org/m", "--no-mirrors").ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)


def test_a_root_that_is_down_says_how_to_trust_a_mirror(machine: Machine, make_hub: MakeHub) -> None:
    hub = make_hub(Repo("model", "org/m", FILES))
    near = hub.mirror("near")
    done = machine.run("pull", "org/m", "--root", "http://127.0.0.1:9", "--mirror", near.url, "--json").ended(81)
    assert f"--root {near.url}" in done.error["hint"]
