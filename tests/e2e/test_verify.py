"""What rots in the cache is found, named by its ranges, and brought back with as few bytes as that takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.proof.pieces import PIECE
from tests.hub.content import make_file
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, sent, wanted
from tests.machine.machine import Machine, Result, content

SIZE = 3 * PIECE + 1000


def flip(path: Path, offset: int) -> None:
    """Flip one bit as a disk does: size and times stay as they are."""
    before = path.stat()
    mode = before.st_mode
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))
    path.chmod(mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def verify(machine: Machine, *words: str, **options: Any) -> Result:
    return machine.run("verify", "--root", machine.root, "--no-mirrors", "--json", *words, **options)


def states(result: Result) -> dict[str, str]:
    return {file["path"]: file["state"] for file in result.document["data"]["files"]}


def ranges(result: Result, path: str = "big.safetensors") -> list[tuple[int, int]]:
    (file,) = [file for file in result.document["data"]["files"] if file["path"] == path]
    return [(found["start"], found["end"]) for found in file["ranges"]]


@pytest.fixture
def big(tmp_path: Path) -> Repo:
    weights = make_file(tmp_path / "big", SIZE, 7)
    return Repo("model", "org/big", {"config.json": b"{}", "big.safetensors": weights})


def blob(machine: Machine, repo: Repo, path: str = "big.safetensors") -> Path:
    found = repo.commits[repo.head].files[path]
    return machine.cache / f"models--{repo.name.replace('/', '--')}" / "blobs" / found.etag


def assert_right(machine: Machine, repo: Repo, hub: LoopbackHub) -> None:
    assert content(machine.snapshot(f"model/{repo.name}", repo.head)) == wanted(repo)
    checked = machine.hf("cache", "verify", repo.name, HF_ENDPOINT=hub.url)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert [path for path in machine.stage.iterdir() if path.name.startswith("scratch-")] == []


@pytest.mark.parametrize("fast", [[], ["--fast"]])
def test_what_is_right_is_ok_and_needs_no_network(
    machine: Machine, make_hub: MakeHub, big: Repo, fast: list[str]
) -> None:
    hub = make_hub(big)
    machine.pull("org/big").ended(0)
    hub.log.reset()
    done = verify(machine, "org/big", *fast).ended(0)
    assert states(done) == {"config.json": "ok", "big.safetensors": "ok"}
    methods = {file["path"]: file["method"] for file in done.document["data"]["files"]}
    assert methods == {"config.json": "digest", "big.safetensors": "pieces" if fast else "digest"}
    assert hub.log.requests() == []


@pytest.mark.parametrize("fast", [[], ["--fast"]])
def test_a_flipped_bit_is_named_by_its_piece_and_repaired_with_one(
    machine: Machine, make_hub: MakeHub, big: Repo, fast: list[str]
) -> None:
    hub = make_hub(big)
    machine.pull("org/big").ended(0)
    flip(blob(machine, big), PIECE + 5)
    rotten = blob(machine, big).stat()
    found = verify(machine, *fast).ended(65)
    assert states(found) == {"config.json": "ok", "big.safetensors": "rotten"}
    assert ranges(found) == [(PIECE, 2 * PIECE)]
    assert found.error["code"] == "integrity"
    assert found.error["hint"] == "glm-aria verify org/big --repair"
    hub.log.reset()
    mended = verify(machine, "org/big", "--repair", *fast).ended(0)
    assert states(mended)["big.safetensors"] == "repaired"
    assert mended.document["data"]["bytes_fetched"] == PIECE
    hub.log.settle()
    assert hub.log.bytes_sent(face="cdn") == PIECE
    assert blob(machine, big).stat().st_ino != rotten.st_ino
    assert_right(machine, big, hub)
    assert states(verify(machine).ended(0))["big.safetensors"] == "ok"
    hub.log.reset()
    machine.pull("org/big").ended(0)
    assert sent(hub) == []


def test_rot_without_piece_hashes_is_fetched_whole(machine: Machine, make_hub: MakeHub, big: Repo) -> None:
    hub = make_hub(big)
    machine.pull("org/big").ended(0)
    for path in (machine.stage.parent / "pieces").iterdir():
        path.unlink()
    flip(blob(machine, big), 0)
    assert ranges(verify(machine, "--fast").ended(65)) == [(0, SIZE)]
    mended = verify(machine, "--repair").ended(0)
    assert states(mended) == {"config.json": "ok", "big.safetensors": "repaired"}
    assert_right(machine, big, hub)
    assert ranges(verify(machine, "--fast").ended(0)) == []


def test_what_hf_put_there_gets_piece_hashes_at_its_first_check(machine: Machine, make_hub: MakeHub, big: Repo) -> None:
    hub = make_hub(big)
    assert machine.hf("download", "org/big", HF_ENDPOINT=hub.url).returncode == 0
    assert states(verify(machine, "--fast").ended(0))["big.safetensors"] == "ok"
    flip(blob(machine, big), SIZE - 1)
    assert ranges(verify(machine, "--fast").ended(65)) == [(3 * PIECE, SIZE)]
    hub.log.reset()
    verify(machine, "--fast", "--repair").ended(0)
    hub.log.settle()
    assert hub.log.bytes_sent(face="cdn") == SIZE - 3 * PIECE
    assert_right(machine, big, hub)


def test_hard_links_share_the_repair(machine: Machine, make_hub: MakeHub, big: Repo) -> None:
    twin = Repo("model", "org/twin", {"same.safetensors": big.commits[big.head].files["big.safetensors"].content})
    hub = make_hub(big, twin)
    machine.pull("org/big").ended(0)
    machine.pull("org/twin").ended(0)
    one, other = blob(machine, big), blob(machine, twin, "same.safetensors")
    assert one.stat().st_ino == other.stat().st_ino
    flip(one, 1)
    verify(machine, "--repair").ended(0)
    assert one.stat().st_ino == other.stat().st_ino
    assert_right(machine, big, hub)
    assert_right(machine, twin, hub)


def test_a_rotten_blob_is_fetched_by_the_next_pull(machine: Machine, make_hub: MakeHub, big: Repo) -> None:
    hub = make_hub(big)
    machine.pull("org/big").ended(0)
    flip(blob(machine, big), 1)
    verify(machine).ended(65)
    done = machine.pull("org/big").ended(0)
    assert done.warnings == ["cache-was-wrong"]
    assert_right(machine, big, hub)


@pytest.mark.parametrize(("kind", "warnings"), [("bit_flip", ["mirror-lied"]), ("truncated", [])])
def test_a_source_that_lies_or_fails_is_passed_over(
    machine: Machine, make_hub: MakeHub, big: Repo, kind: str, warnings: list[str]
) -> None:
    hub = make_hub(big)
    fault = Fault(kind, method="GET", after_bytes=5 if kind == "bit_flip" else None)
    mirror = hub.mirror("liar", faults=[fault])
    machine.pull("org/big").ended(0)
    flip(blob(machine, big), 1)
    done = machine.run(
        "verify", "--root", mirror.url, "--mirror", hub.url, "--json", "--repair", env={"HF_TOKEN": None}
    ).ended(0)
    assert done.warnings == warnings
    assert_right(machine, big, hub)


def test_a_gated_model_is_repaired_with_the_token(machine: Machine, make_hub: MakeHub, tmp_path: Path) -> None:
    files: dict[str, Path | bytes] = {
        "big.safetensors": make_file(tmp_path / "big", SIZE, 8),
        "config.json": b"{}",
    }
    repo = Repo("model", "org/closed", files, gated="manual")
    hub = make_hub(repo, opens=["org/closed"])
    machine.pull("org/closed").ended(0)
    flip(blob(machine, repo), 1)
    hub.log.reset()
    refused = verify(machine, "--repair", env={"HF_TOKEN": None}).ended(65)
    assert refused.error["code"] == "not-allowed"
    verify(machine, "--repair").ended(0)
    assert content(machine.snapshot("model/org/closed", repo.head)) == wanted(repo)
    assert hub.log.tokens(face="cdn") == set()


def test_what_is_printed_for_people(machine: Machine, make_hub: MakeHub, big: Repo) -> None:
    hub = make_hub(big)
    machine.pull("org/big").ended(0)
    flip(blob(machine, big), 1)
    found = machine.run("verify", "--root", hub.url).ended(65)
    assert found.out.split() == ["rotten", "12.6", "MB", "big.safetensors", "(org/big)", "bytes", f"0-{PIECE - 1}"]
    assert "hint: glm-aria verify org/big --repair" in found.err
    events = machine.run("verify", "--progress", "json").ended(65)
    assert '"phase": "hashing"' in events.err


def test_stopping_a_verify(machine: Machine, make_hub: MakeHub, big: Repo) -> None:
    make_hub(big)
    machine.pull("org/big").ended(0)
    running = machine.start("verify", "--progress", "json", "--json")
    assert running.process.stderr
    assert running.process.stderr.readline()
    running.signal(2)
    assert running.end().code in (0, 130)
