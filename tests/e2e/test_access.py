"""Gated, private, missing, renamed, throttled: what the hub refuses, and who is told the token."""

from __future__ import annotations

import pytest

from tests.hub.content import generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, sent, wanted
from tests.machine.machine import Machine, cmdline, content, environ

FILES = {"config.json": b"{}\n", "model.safetensors": generate(3 << 20, 1), "notes/a.txt": b"a" * 300}


@pytest.fixture
def gated() -> Repo:
    return Repo("model", "org/gated", FILES, gated="manual")


def test_gated_with_access(machine: Machine, make_hub: MakeHub, gated: Repo) -> None:
    hub = make_hub(gated, opens=["org/gated"])
    done = machine.pull("org/gated").ended(0)
    assert content(machine.snapshot("model/org/gated", gated.head)) == wanted(gated)
    assert done.model["bytes_fetched"] == sum(map(len, FILES.values()))
    assert hub.log.tokens(face="hub") == {machine.token}
    assert hub.log.bytes_sent(face="cdn") >= 3 << 20


def test_gated_bytes_and_token_never_go_to_a_mirror(machine: Machine, make_hub: MakeHub, gated: Repo) -> None:
    hub = make_hub(gated, opens=["org/gated"])
    near, far = hub.mirror("near"), hub.mirror("far", own_cdn=True)
    machine.pull("org/gated", "--mirror", near.url, "--mirror", far.url).ended(0)
    assert content(machine.snapshot("model/org/gated", gated.head)) == wanted(gated)
    for face in ("near", "far", "far-cdn", "cdn"):
        assert hub.log.tokens(face=face) == set()
        assert not [seen for seen in hub.log.requests(face=face) if seen.authorization]


def test_aria2_never_holds_the_token(machine: Machine, make_hub: MakeHub, gated: Repo) -> None:
    hub = make_hub(gated, opens=["org/gated"], cdn_shape=Shape(total_rate=2e6))
    running = machine.start_pull("org/gated")
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 100_000)
    (pid,) = machine.aria2()
    conf = next(machine.runtime.rglob("aria2.conf"))
    secret = next(line for line in conf.read_text().splitlines() if line.startswith("rpc-secret=")).partition("=")[2]
    assert conf.stat().st_mode & 0o777 == 0o600
    assert conf.parent.stat().st_mode & 0o777 == 0o700
    for where in (cmdline(pid), environ(pid), cmdline(running.pid), conf.read_text()):
        assert where
        assert machine.token not in where
    assert secret not in cmdline(pid) + environ(pid) + cmdline(running.pid)
    hub.faces["cdn"].shape = Shape()
    running.end().ended(0)
    assert list(machine.runtime.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "env", "code", "hint"),
    [
        ("org/gated", {}, 77, "/org/gated"),
        ("org/gated", {"HF_TOKEN": None}, 77, "/org/gated"),
        ("org/gated", {"HF_TOKEN": "hf_unknown"}, 77, "/settings/tokens"),
        ("org/open", {"HF_TOKEN": "hf_unknown"}, 77, "/settings/tokens"),
        ("org/private", {}, 66, "may not see it"),
        ("org/private", {"HF_TOKEN": None}, 66, "private"),
        ("org/missing", {}, 66, "spelling"),
        ("org/missing", {"HF_TOKEN": None}, 66, "spelling"),
        ("org/open@nowhere", {}, 66, None),
        ("org/open@" + "0" * 40, {}, 66, None),
    ],
)
@pytest.mark.sampled(4)
def test_a_refusal_names_what_to_do(
    machine: Machine, make_hub: MakeHub, gated: Repo, name: str, env: dict[str, str | None], code: int, hint: str | None
) -> None:
    hub = make_hub(gated, Repo("model", "org/private", FILES, private=True), Repo("model", "org/open", FILES))
    done = machine.pull(name, env=env).ended(code)
    assert done.error["exit_code"] == code
    assert done.error["code"] == {77: "not-allowed", 66: "not-found"}[code]
    assert name.partition("@")[0] in done.error["message"] or "token" in done.error["message"]
    assert hint is None or hint in done.error["hint"]
    assert sent(hub) == []
    assert not (machine.cache / f"models--{name.partition('@')[0].replace('/', '--')}").exists()


def test_private_with_access(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("model", "org/private", FILES, private=True)
    make_hub(repo, opens=["org/private"])
    machine.pull("org/private").ended(0)
    assert content(machine.snapshot("model/org/private", repo.head)) == wanted(repo)


def test_a_token_file_wins(machine: Machine, make_hub: MakeHub, gated: Repo) -> None:
    make_hub(gated, opens=["org/gated"])
    file = machine.folder.parent / "token"
    file.write_text(machine.token + "\n")
    machine.pull("org/gated", "--token-file", str(file), env={"HF_TOKEN": "hf_wrong"}).ended(0)


def test_the_hubs_quota_is_waited_for(machine: Machine, make_hub: MakeHub) -> None:
    hub = make_hub(Repo("model", "org/open", FILES))
    hub.fault(Fault("rate_limited", "/api/*", times=1, retry_after_s=1))
    machine.pull("org/open").ended(0)
    refused, again = hub.log.requests(path="/api/*/revision/*")[:2]
    assert refused.status == 429
    assert again.status == 200
    assert again.start - refused.start >= 2  # the Hub's form is t + 1


def test_a_quota_that_lasts_too_long_is_temporary(machine: Machine, make_hub: MakeHub) -> None:
    hub = make_hub(Repo("model", "org/open", FILES))
    hub.fault(Fault("rate_limited", "/api/*", retry_after_s=300))
    done = machine.pull("org/open").ended(75)
    assert done.error["retryable"]
    assert len(hub.log.requests()) == 1


def test_a_429_for_bytes_is_tried_again(machine: Machine, make_hub: MakeHub) -> None:
    repo = Repo("model", "org/open", FILES)
    hub = make_hub(repo)
    hub.fault(Fault("rate_limited", "config.json", times=1), Fault("rate_limited", "*.safetensors", times=1))
    machine.pull("org/open").ended(0)
    assert hub.faces["hub"].faults.fired("rate_limited") == 2
    assert content(machine.snapshot("model/org/open", repo.head)) == wanted(repo)


# -- mirrors are told nothing of closed repos


def _heard(hub: LoopbackHub, *faces: str) -> list[str]:
    """What mirrors were asked that names the closed repo."""
    hub.log.settle()
    return [seen.path for face in faces for seen in hub.log.requests(face=face) if "closed" in seen.path]


@pytest.mark.parametrize("kind", ["private", "gated"])
def test_mirrors_do_not_hear_of_closed_repos(machine: Machine, make_hub: MakeHub, kind: str) -> None:
    """Not when it is pulled, probed, measured, repaired, nor once the root is down."""
    closed = Repo("model", "org/closed", FILES)
    closed.private, closed.gated = kind == "private", "auto" if kind == "gated" else False
    hub = make_hub(closed, opens=["org/closed"])
    hub.mirror("near"), hub.mirror("far", own_cdn=True), hub.modelscope("scope")
    faces = ("near", "far", "far-cdn", "scope")
    mirrors = [word for face in faces[:2] for word in ("--mirror", hub.faces[face].url)]
    mirrors += ["--mirror", f"modelscope+{hub.faces['scope'].url}"]
    machine.pull("org/closed", *mirrors).ended(0)
    assert _heard(hub, *faces) == []
    for command in ("probe", "doctor"):
        words = ("mirrors", "probe", "org/closed") if command == "probe" else ("doctor", "org/closed")
        machine.run(*words, "--root", hub.url, *mirrors).ended(0)
        assert _heard(hub, *faces) == [], command
    blob = next(path for path in (machine.cache / "models--org--closed/blobs").iterdir() if path.stat().st_size > 9999)
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.seek(5)
        file.write(b"rotten")
    machine.run("verify", "org/closed", "--repair", "--root", hub.url, *mirrors).ended(0)
    assert _heard(hub, *faces) == []
    hub.stop_face("hub")
    for words in (("pull", "org/closed", "--force"), ("mirrors", "probe", "org/closed"), ("plan", "org/closed")):
        done = machine.run(*words, "--root", hub.url, *mirrors)
        assert done.code != 70
        assert _heard(hub, *faces) == [], words


def test_a_token_host_is_asked_on_purpose(machine: Machine, make_hub: MakeHub) -> None:
    hub = make_hub(Repo("model", "org/closed", FILES, gated="auto"), opens=["org/closed"])
    near = hub.mirror("near")
    host = near.url.partition("://")[2]
    env = {"GLM_ARIA_TOKEN_HOSTS": host}
    machine.pull("org/closed", "--mirror", near.url, env=env).ended(0)
    assert _heard(hub, "near")
    assert hub.log.tokens(face="near") == {machine.token}
    hub.log.reset()  # where the token may be seen this once
