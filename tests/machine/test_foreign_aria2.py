"""`--rpc` with an aria2 that its user has set up, and shares with others: what becomes of our downloads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError

import pytest

from orchestrator.aria2 import inherited
from tests.aria2.test_inherited import WORST
from tests.hub.certificates import make_certificate
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeForeign, MakeHub, wanted
from tests.machine.foreign import Foreign
from tests.machine.machine import Machine, Running, content

pytestmark = pytest.mark.sampled(8)

SIZE = 12 * MIB
FILES = {
    "big.safetensors": generate(SIZE, 1),
    "small.bin": generate(300_000, 2),
    **{f"s{n}.json": b"%d" % n * 9 for n in range(20)},
}
SLOW = Shape(total_rate=2 * MIB)


def told(running: Running, words: str, timeout_s: float = 30) -> str:
    """Wait for a line on stderr with these words, while the command runs."""
    timer = threading.Timer(timeout_s, running.process.kill)
    timer.start()
    assert running.process.stderr
    try:
        lines = []
        for line in running.process.stderr:
            lines.append(line)
            if words in line:
                return line
        raise AssertionError(f"{words!r} was not told:\n{''.join(lines)}")
    finally:
        timer.cancel()


def gids(foreign: Foreign, folder: Path) -> list[str]:
    """The downloads into a folder that have not ended."""
    found = foreign.call("aria2.tellActive", ["gid", "dir"])
    found += foreign.call("aria2.tellWaiting", 0, 1000, ["gid", "dir"])
    return [one["gid"] for one in found if one["dir"] == str(folder)]


@contextmanager
def again_and_again(does: Callable[[], object]) -> Iterator[None]:
    """Do something in a thread for as long as the block lasts."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.005):
            with suppress(HTTPError):  # the download has ended meanwhile
                does()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def is_right(machine: Machine, repo: Repo) -> bool:
    return content(machine.snapshot("model/org/m", repo.head)) == wanted(repo) and not list(machine.stage.iterdir())


# -- what it adds to a request ---------------------------------------------------------------------------------------


def test_a_download_carries_nothing_of_its_global_options(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign, tmp_path: Path
) -> None:
    hub = make_hub(repo)
    mirror = hub.mirror("near", own_cdn=True)
    cookies, netrc = tmp_path / "cookies.txt", tmp_path / "netrc"
    cookies.write_text("127.0.0.1\tFALSE\t/\tFALSE\t9999999999\tsession\tcanary\n")
    netrc.write_text("machine 127.0.0.1 login canary password canary\n")
    netrc.chmod(0o600)
    lines = WORST | {
        "load-cookies": str(cookies),
        "netrc-path": str(netrc),
        "user-agent": "canary",
        "http-accept-gzip": "true",
        "save-cookies": str(tmp_path / "saved"),
    }
    foreign = make_foreign(conf="".join(f"{name}={value}\n" for name, value in lines.items()))
    machine.pull("org/m", "--mirror", mirror.url, *foreign.words).ended(0)
    assert is_right(machine, repo)
    asked = [(seen, {name.lower(): value for name, value in seen.headers.items()}) for seen in hub.log.requests()]
    by_aria2 = [(seen, headers) for seen, headers in asked if "want-digest" in headers]
    assert by_aria2, "aria2 asked for nothing"
    for seen in hub.log.requests():
        text = str(seen.headers) + seen.query + seen.path
        assert "canary" not in text.replace(machine.token, "")
        assert "theirs" not in text
    for seen, headers in by_aria2:
        assert not seen.authorization
        assert not headers.get("cookie")
        assert not {"referer", "pragma", "cache-control", "if-modified-since", "accept-encoding"} & set(headers)
    assert foreign.call("aria2.getGlobalOption")["referer"] == WORST["referer"]


@pytest.mark.parametrize("name", sorted(inherited.REFUSED))
@pytest.mark.sampled(2)
def test_what_cannot_be_blanked_is_refused(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign, tmp_path: Path, name: str
) -> None:
    hub = make_hub(repo)
    ran = tmp_path / "ran"
    hook = tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\necho "$3" >>{ran}\nrm -f "$3"\n')
    hook.chmod(0o700)
    foreign = make_foreign(conf=f"{name}={'Authorization: Bearer canary' if name == 'header' else hook}\n")
    done = machine.pull("org/m", *foreign.words).ended(71)
    assert repr(name) in done.error["message"]
    assert name in done.error["hint"]
    assert "canary" not in done.out + done.err
    assert not ran.exists()
    assert not [seen for seen in hub.log.requests() if "canary" in str(seen.headers).replace(machine.token, "")]
    assert hub.log.bytes_sent(face="cdn") == 0
    assert foreign.state()["stopped"] == []


def test_a_header_that_is_set_meanwhile(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign
) -> None:
    hub = make_hub(repo, cdn_shape=SLOW)
    foreign = make_foreign()
    running = machine.start_pull("org/m", *foreign.words)
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > MIB)
    foreign.call("aria2.changeGlobalOption", {"header": "X-Key: canary"})
    done = running.end(30).ended(71)
    assert "'header'" in done.error["message"]
    assert gids(foreign, machine.stage) == []


def test_what_is_only_warned_of(machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign) -> None:
    make_hub(repo)
    foreign = make_foreign(conf="save-session=session.txt\ncheck-certificate=false\n")
    done = machine.pull("org/m", *foreign.words).ended(0)
    assert done.warnings.count("daemon-option") == 2
    assert "'save-session'" in done.out
    assert is_right(machine, repo)


# -- what others do to our downloads ---------------------------------------------------------------------------------


def fetched(hub: LoopbackHub) -> int:
    hub.log.settle()
    return hub.log.bytes_sent(face="cdn")


# With fewer, aria2 shares out ranges among connections of its own, and asks for some twice.
MANY = "--max-concurrent-downloads=64"


def asked_twice(hub: LoopbackHub) -> dict[tuple[str | None, str | None], int]:
    """The ranges that were sent more than once."""
    hub.log.settle()
    sent = [seen for status in (200, 206) for seen in hub.log.requests(method="GET", status=status) if seen.file]
    counts = Counter((seen.file, seen.range) for seen in sent)
    return {what: count for what, count in counts.items() if count > 1}


def test_a_daemon_that_keeps_no_results(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign
) -> None:
    hub = make_hub(repo)
    foreign = make_foreign(MANY, conf="max-download-result=0\nkeep-unfinished-download-result=false\n")
    machine.pull("org/m", *foreign.words).ended(0)
    assert is_right(machine, repo)
    assert asked_twice(hub) == {}


def test_a_front_end_that_clears_the_results(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign
) -> None:
    hub = make_hub(repo)
    foreign = make_foreign(MANY)
    with again_and_again(lambda: foreign.call("aria2.purgeDownloadResult")):
        machine.pull("org/m", *foreign.words).ended(0)
    assert is_right(machine, repo)
    assert asked_twice(hub) == {}


def test_a_source_that_fails_where_no_results_are_kept(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign
) -> None:
    """The source is asked why, and named: it is not the daemon's fault."""
    hub = make_hub(repo)
    hub.fault(Fault("status", status=404), face="cdn")
    foreign = make_foreign(conf="max-download-result=0\nkeep-unfinished-download-result=false\n")
    machine.pull("org/m", "--include", "big*", *foreign.words).ended(66)


def test_downloads_that_are_removed_once(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign
) -> None:
    hub = make_hub(repo, cdn_shape=SLOW)
    foreign = make_foreign()
    running = machine.start_pull("org/m", *foreign.words)
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 3 * MIB)
    for gid in gids(foreign, machine.stage):
        with suppress(HTTPError):
            foreign.call("aria2.forceRemove", gid)
            foreign.call("aria2.removeDownloadResult", gid)
    hub.faces["cdn"].shape = Shape()
    running.end().ended(0)
    assert is_right(machine, repo)
    assert fetched(hub) <= SIZE * 1.3


def test_downloads_that_are_removed_again_and_again(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign
) -> None:
    make_hub(repo, cdn_shape=Shape(latency_s=2))
    foreign = make_foreign()

    def remove() -> None:
        for gid in gids(foreign, machine.stage):
            with suppress(HTTPError):
                foreign.call("aria2.forceRemove", gid)
                foreign.call("aria2.removeDownloadResult", gid)

    with again_and_again(remove):
        done = machine.pull("org/m", "--include", "big*", *foreign.words).ended(71)
    assert "front end" in done.error["hint"]


def test_others_downloads_of_any_shape(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign
) -> None:
    make_hub(repo)
    foreign = make_foreign("--max-concurrent-downloads=20")
    for pause in ("true", "false"):
        for uri in ("magnet:?xt=urn:btih:" + "a1" * 20, "http://127.0.0.1:9/", "ftp://127.0.0.1:9/x"):
            foreign.call("aria2.addUri", [uri], {"pause": pause, "max-tries": "0", "retry-wait": "60"})
    before = foreign.state()
    machine.pull("org/m", *foreign.words).ended(0)
    assert is_right(machine, repo)
    after = foreign.state()
    assert after["options"] == before["options"]
    ids = [one["gid"] for state in ("active", "waiting", "stopped") for one in before[state]]
    assert sorted(ids) == sorted(one["gid"] for state in ("active", "waiting", "stopped") for one in after[state])


# -- what they wait for ----------------------------------------------------------------------------------------------


def test_paused_by_somebody(machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign) -> None:
    hub = make_hub(repo, cdn_shape=SLOW)
    foreign = make_foreign()
    running = machine.start_pull("org/m", "--progress", "json", *foreign.words)
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 2 * MIB)
    foreign.call("aria2.forcePauseAll")
    assert "aria2.unpauseAll" in told(running, "moves none of this run's downloads")
    assert '"speed": 0' in told(running, '"event"').replace('"speed":0', '"speed": 0')
    hub.faces["cdn"].shape = Shape()
    foreign.call("aria2.unpauseAll")
    done = running.end().ended(0)
    assert done.warnings.count("daemon-waits") == 1
    assert is_right(machine, repo)


def test_no_room_for_our_downloads(machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign) -> None:
    hub = make_hub(repo)
    foreign = make_foreign("--max-concurrent-downloads=1")
    theirs = foreign.call("aria2.addUri", ["magnet:?xt=urn:btih:" + "a1" * 20])
    running = machine.start_pull("org/m", *foreign.words)
    assert "max-concurrent-downloads" in told(running, "moves none of this run's downloads")
    assert fetched(hub) <= len(FILES["small.bin"]), "only small files need no aria2"
    foreign.call("aria2.forceRemove", theirs)
    running.end().ended(0)
    assert is_right(machine, repo)


@pytest.mark.parametrize("limit", ["max-overall-download-limit", "max-download-limit"])
def test_a_limit_that_lets_nothing_through(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign, limit: str
) -> None:
    make_hub(repo)
    foreign = make_foreign(conf=f"{limit}=1K\n")
    running = machine.start_pull("org/m", "--include", "big*", *foreign.words)
    line = told(running, "moves none of this run's downloads")
    assert limit in line
    foreign.call("aria2.changeGlobalOption", {limit: "0"})
    for gid in gids(foreign, machine.stage):
        with suppress(HTTPError):
            foreign.call("aria2.changeOption", gid, {"max-download-limit": "0"})
    running.end().ended(0)


# -- over TLS --------------------------------------------------------------------------------------------------------


def test_an_rpc_with_a_certificate_of_ones_own(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign, tmp_path: Path
) -> None:
    make_hub(repo)
    pair = make_certificate(tmp_path)
    foreign = make_foreign(tls=pair)
    machine.pull("org/m", *foreign.words, env={"GLM_ARIA_CA_BUNDLE": str(pair[0])}).ended(0)
    assert is_right(machine, repo)


def test_an_rpc_whose_certificate_is_not_believed(
    machine: Machine, make_hub: MakeHub, repo: Repo, make_foreign: MakeForeign, tmp_path: Path
) -> None:
    make_hub(repo)
    foreign = make_foreign(tls=make_certificate(tmp_path))
    done = machine.pull("org/m", *foreign.words).ended(71)
    assert "certificate" in done.error["message"]
    assert "GLM_ARIA_CA_BUNDLE=FILE" in done.error["hint"]
    words = ("--rpc", foreign.url.replace("https", "http"), "--rpc-secret-file", str(foreign.secret))
    assert "https://" in machine.pull("org/m", *words).ended(71).error["hint"]


def test_an_rpc_that_has_no_tls(machine: Machine, make_hub: MakeHub, repo: Repo, foreign: Foreign) -> None:
    make_hub(repo)
    words = ("--rpc", foreign.url.replace("http://", "https://"), "--rpc-secret-file", str(foreign.secret))
    done = machine.pull("org/m", *words).ended(71)
    assert "TLS" in done.error["message"]
    assert "http://" in done.error["hint"]
