"""The live state: what the page gets, and what of it names no closed repo."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.documents import encode
from orchestrator.events import Evicted, FileProgress, Notice, Phase
from orchestrator.serve.http.exchange import Exchange, Presence
from orchestrator.serve.pages.fleet import SeenFleet, SeenTask
from orchestrator.serve.pages.intake import Intake
from orchestrator.serve.pages.live import View, live
from orchestrator.serve.pages.looking import Looks
from orchestrator.serve.pages.traffic import Traffic
from orchestrator.upkeep.contents import Contents, HeldRepo, HeldRevision

OPEN, CLOSED, FETCHED = (Digest.parse(f"sha256:{letter * 64}") for letter in "abc")
SECRET = "secret"
FLEET = SeenFleet(
    tasks=(SeenTask("t1", "org/open@main", "done", 9, 9, is_closed=False, shares={}),
           SeenTask("t2", f"org/{SECRET}@main", "running", 9, 9, is_closed=True, shares={})),
)  # fmt: skip


def revision(*, is_open: bool) -> HeldRevision:
    return HeldRevision("1" * 40, (), 1, 5, 5, 9.0, None, False, is_open=is_open)


def repo(name: str, *opens: bool) -> HeldRepo:
    held = tuple(revision(is_open=is_open) for is_open in opens)
    return HeldRepo(RepoId(RepoType.MODEL, name), held, 5, 5, has_bad_refs=False)


def state(view: View) -> Any:
    """What somebody sees of a server that has, sends and refuses open and closed repos."""
    traffic, intake = Traffic(), Intake()
    for blob, name in ((OPEN, "org/open/f"), (CLOSED, f"org/{SECRET}/f")):
        one = Exchange("10.0.0.5", "GET", b"/x", "hub", blob=blob, name=name, found=Presence.MISS)
        one.is_closed = SECRET in name
        traffic.began(one)
        intake.take(FileProgress(blob, "f", Phase.FETCHING, 1, 9, 5))
    for path, status, name in ((b"/org/secret/resolve/main/f", 401, ""), (b"/y", 200, "org/open/f")):
        done = Exchange("10.0.0.5", "GET", path, "hub", name=name, status=status)
        done.found = Presence.HIT if name else None
        traffic.began(done)
        traffic.ended(done)
    intake.take(FileProgress(FETCHED, "prefetched", Phase.FETCHING, 1, 9))
    intake.take(Notice("stale", f"org/{SECRET} is served as it was last seen"))
    intake.take(Evicted(f"org/{SECRET}@1", 5))
    intake.take(Notice("mirror-down", "it is down", mirror="far"))
    repos = (repo("org/open", True), repo(f"org/{SECRET}", True, False), repo(f"other/{SECRET}"))
    contents = Contents("/cache", repos, 15, 0)
    return json.loads(encode(live(traffic, intake, Looks(contents=contents, fleet=FLEET), view=view, now=10.0)))


def names(found: Any, table: str) -> list[str]:
    return [row["name"] for row in found[table]]


def test_who_may_read_closed_repos_sees_all() -> None:
    found = state(View(is_whole=True))
    assert names(found, "repos") == ["org/open", f"org/{SECRET}", f"other/{SECRET}"]
    assert names(found, "transfers") == ["org/open/f", f"org/{SECRET}/f", "prefetched"]
    assert names(found, "answers") == ["org/open/f", "/org/secret/resolve/main/f"]
    assert names(found["fleet"], "tasks") == [f"org/{SECRET}@main", "org/open@main"]
    assert all(row["message"] for row in found["news"])
    assert found["is_whole"] is True


def test_the_others_see_no_name_of_a_closed_repo() -> None:
    found = state(View(is_whole=False))
    assert SECRET not in json.dumps(found)
    assert names(found, "repos") == ["org/open"]
    assert names(found, "transfers") == ["org/open/f", "", "prefetched"]
    assert names(found, "answers") == ["org/open/f", ""]
    assert names(found["fleet"], "tasks") == ["", "org/open@main"]
    assert [(row["code"], row["message"]) for row in found["news"]] == [
        ("mirror-down", "it is down"),
        ("evicted", ""),
        ("stale", ""),
    ]
    assert found["cache_size"] == 15


def test_where_closed_repos_are_fetched_what_nobody_asked_for_has_no_name() -> None:
    found = state(View(is_whole=False, is_gated=True))
    assert names(found, "transfers") == ["org/open/f", "", ""]
    assert {row["message"] for row in found["news"]} == {""}


def test_a_client_counts_what_it_waits_for() -> None:
    found = state(View(is_whole=True))
    (client,) = found["clients"]
    assert (client["name"], client["hits"], client["active"]) == ("10.0.0.5", 1, 2)
    assert [row["waiting"] for row in found["transfers"]] == [1, 1, 0]
