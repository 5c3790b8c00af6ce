"""A set on a stick: out of one machine, into another that reaches nobody, proven on arrival."""

from __future__ import annotations

import json
import secrets
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desired.following import A, B, Site, expected, small
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, a_machine
from tests.machine.machine import Machine


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Machine]:
    """A machine that has no network."""
    yield from a_machine(tmp_path / "far")


@pytest.fixture
def repos() -> list[Repo]:
    shared = secrets.token_bytes(50_000)
    one, two = small(A, 1), small(B, 2)
    for repo in (one, two):
        repo.commit({"config.json": b"{}", "w.safetensors": shared, f"own-{repo.name[-1]}.txt": repo.name.encode()})
    return [one, two]


@pytest.fixture
def site(machine: Machine, make_hub: MakeHub, repos: list[Repo]) -> Site:
    """A site whose set is ready; it no longer runs."""
    make_hub(*repos)
    state = machine.work / "desired.toml"
    state.write_text(f'[[model]]\nref = "{A}"\nas = "chat"\n[[model]]\nref = "{B}"\n')
    made = Site(machine, "--follow", str(state))
    made.once().ended(0)
    return made


@pytest.mark.parametrize("name", ["site.tar", "site"])
def test_a_set_is_carried_and_proven(machine: Machine, far: Machine, site: Site, repos: list[Repo], name: str) -> None:
    out = machine.work / name
    told = machine.run("state", "export", str(out), "--json").ended(0).document["data"]
    assert told["digest"] == machine.run("state", "digest").ended(0).out.strip()
    assert (told["models"], told["files"]) == (2, 4), "what two models share is in it once"
    env = {"GLM_ARIA_ROOT": "http://127.0.0.1:9", "NO_PROXY": "*"}
    words = ("state", "import", str(out), "--digest", told["digest"], "--json")
    came = far.run(*words, env=env).ended(0).document["data"]
    assert (came["digest"], came["fetched"]) == (told["digest"], told["bytes"])
    there = Site(far)
    assert there.seen() == expected(*repos, names={A: "chat"})
    assert far.run("verify", "--json").ended(0).document["status"] == "success"
    assert (far.cache / "models--org--a" / "refs" / "main").read_text() == repos[0].head
    again = far.run(*words, env=env).ended(0).document["data"]
    assert again["fetched"] == 0
    assert machine.run("state", "export", str(out), "--json").ended(2)
    machine.run("state", "export", str(machine.work / "none" / name)).ended(73)
    machine.run("state", "import", str(machine.work / "none")).ended(66)
    machine.run("state", "import", "/proc/self/mem").ended(74)


def test_a_follower_goes_on_with_what_was_carried(
    machine: Machine, far: Machine, site: Site, repos: list[Repo]
) -> None:
    out = machine.work / "site.tar"
    machine.run("state", "export", str(out)).ended(0)
    far.run("state", "import", str(out)).ended(0)
    far.root = machine.root
    state = far.work / "desired.toml"
    state.write_text((machine.work / "desired.toml").read_text())
    there = Site(far, "--follow", str(state), "--grace", "1s")
    # The hub does not know its token: it is as good as away, and what was carried is what is desired.
    there.start()
    there.is_ready(1)
    there.stop()
    assert there.current == site.current, "the same wish and the same bytes are the same set"
    state.write_text(f'[[model]]\nref = "{B}"\n')
    there.start(env={"HF_TOKEN": None})
    there.is_ready(2)
    there.stop()
    assert there.seen() == expected(repos[1])


def test_an_archive_is_a_layout_that_other_programs_read(machine: Machine, site: Site, tmp_path: Path) -> None:
    out = machine.work / "site"
    told = machine.run("state", "export", str(out), "--json").ended(0).document["data"]
    copy = tmp_path / "copy"
    subprocess.run(
        ["skopeo", "copy", "-q", "--insecure-policy", f"oci:{out}", f"oci:{copy}:x"], check=True, capture_output=True
    )
    index = json.loads((copy / "index.json").read_text())
    assert index["manifests"][0]["digest"] == told["manifest"]


@pytest.mark.parametrize("harm", ["bit", "absent", "swapped", "way out", "no set", "another"])
def test_what_is_not_the_set_is_refused(machine: Machine, far: Machine, site: Site, harm: str) -> None:
    out = machine.work / "site"
    told = machine.run("state", "export", str(out), "--json").ended(0).document["data"]
    blobs = sorted((out / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    words: tuple[str, ...] = ()
    code = 65
    match harm:
        case "bit":
            content = bytearray(blobs[-1].read_bytes())
            content[100] ^= 1
            blobs[-1].write_bytes(content)
        case "absent":
            blobs[-1].unlink()
        case "swapped":
            manifest = out / "blobs" / "sha256" / told["manifest"].partition(":")[2]
            manifest.write_bytes(manifest.read_bytes() + b" ")
        case "way out":
            blobs[-1].unlink()
            blobs[-1].symlink_to("/etc/passwd")
        case "no set":
            (out / "index.json").write_text('{"schemaVersion":2,"manifests":[]}')
            code = 2
        case "another":
            words, code = ("--digest", f"sha256:{'0' * 64}"), 81
    result = far.run("state", "import", str(out), *words, "--json")
    assert result.code == code, result.out
    assert result.error["message"]
    assert "mirror" not in str(result.error["hint"]), "there is no mirror of an archive"
    assert Site(far).current is None


def test_a_tar_chooses_no_path(machine: Machine, far: Machine, site: Site, tmp_path: Path) -> None:
    out = machine.work / "site.tar"
    machine.run("state", "export", str(out)).ended(0)
    victim = tmp_path / "victim"
    with tarfile.open(out, "a") as tar:
        entry = tarfile.TarInfo(f"../../../../../../..{victim}")
        tar.addfile(entry)
        link = tarfile.TarInfo("blobs/sha256/x")
        link.type, link.linkname = tarfile.SYMTYPE, str(victim)
        tar.addfile(link)
    far.run("state", "import", str(out)).ended(0)
    assert not victim.exists()


def test_the_digest_of_a_source_is_that_of_the_set_that_comes_of_it(machine: Machine, site: Site) -> None:
    state = str(machine.work / "desired.toml")
    asked = machine.run("state", "digest", state, "--root", machine.root).ended(0).out.strip()
    assert asked == machine.run("state", "digest").ended(0).out.strip()


def test_ci_waits_for_a_rollout(machine: Machine, site: Site) -> None:
    place = str(site.sets / "status.json")
    found = machine.run("fleet", "status", "--at", place, "--at", "http://127.0.0.1:9", "--json").ended(0).document
    nodes = found["data"]["nodes"]
    assert [(node["is_ready"], bool(node["error"])) for node in nodes] == [
        (True, False),
        (False, True),
    ]
    revision = site.status["sources"][0]["revision"].removeprefix("sha256:")
    machine.run("fleet", "wait", "--for", "ready", "--at", place, "--revision", revision[:12]).ended(0)
    machine.run("fleet", "wait", "--at", place, "--revision", "0" * 12, "--timeout", "1s").ended(75)
    machine.run("fleet", "wait", "--at", place, "--nodes", "2", "--timeout", "1s").ended(75)
    machine.run("fleet", "wait", "--at", "https://x", "--timeout", "1s").ended(2)
