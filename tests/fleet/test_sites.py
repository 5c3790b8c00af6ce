"""Two sites, each with nodes and a scheduler of its own: linked they fetch one copy, parted one each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence

import pytest

from tests.fleet.lab import Node
from tests.fleet.running import Running
from tests.fleet.trial import ENV, Scale, Trial
from tests.hub.content import MIB
from tests.hub.log import Exchange

pytestmark = pytest.mark.sampled(1)

SCHEDULER = 8091
SITES = ("rome", "paris")


@pytest.fixture(scope="module")
def scale() -> Scale:
    """A model of so many units that one that comes twice is a fiftieth."""
    return Scale(4, 192, 1e9, 200e6, 150)


class Sites:
    """The nodes of a trial as two sites; the first node of each has the scheduler."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        half = len(trial.nodes) // 2
        self.nodes: Mapping[str, Sequence[Node]] = dict(
            zip(SITES, (trial.nodes[:half], trial.nodes[half:]), strict=True)
        )
        self.places = {site: f"{nodes[0].address}:{SCHEDULER}" for site, nodes in self.nodes.items()}

    def begin(self) -> None:
        """Start the schedulers, of which the second one calls the first."""
        for site, link in ((SITES[0], ()), (SITES[1], ("--link", self.places[SITES[0]]))):
            words = ("scheduler", "--listen", self.places[site], "--site", site, *link)
            running = self.run(self.nodes[site][0], *words)
            self.nodes[site][0].wait_for(SCHEDULER, running)
        self.until("both are linked", lambda: all("linked with the site" in one.said() for one in self.trial.beside))

    def run(self, node: Node, *words: str) -> Running:
        """Start a command that the trial ends."""
        running = node.glm_aria(*words, root=self.trial.hub.url, env=ENV)
        self.trial.beside.append(running)
        return running

    def pull(self) -> None:
        """Have all nodes pull the model, each by the scheduler of its site."""
        for site, nodes in self.nodes.items():
            self.trial.fleet = self.places[site]
            for node in nodes:
                self.trial.start(node)

    def known(self, site: str) -> dict[str, tuple[str, str]]:
        """The nodes that a scheduler shows, each with its site and its state."""
        words = ("fleet", "ls", "--scheduler", self.places[site], "--json")
        ended = self.nodes[site][0].glm_aria(*words, root=self.trial.hub.url, env=ENV).wait()
        return {node["id"]: (node["site"], node["state"]) for node in json.loads(ended.stdout)["data"]["nodes"]}

    def until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Look until something is so."""
        deadline = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < deadline, (what, [self.known(site) for site in SITES])
            time.sleep(0.2)

    def are_apart(self) -> bool:
        """True when neither side counts on a node of the other any more."""
        return all(
            state in ("lost", "gone") for site in SITES for where, state in self.known(site).values() if where != site
        )

    def agree(self) -> bool:
        """True when both sides know the same nodes."""
        one, other = (self.known(site) for site in SITES)
        return one == other and {where for where, state in one.values() if state == "ready"} == set(SITES)


@pytest.fixture
def sites(trial: Trial) -> Sites:
    made = Sites(trial)
    made.begin()
    return made


def spans(exchanges: Sequence[Exchange]) -> list[tuple[int, int]]:
    """The ranges of the large file that were sent."""
    found = []
    for one in exchanges:
        if one.range and one.bytes_sent:
            start = int(one.range.removeprefix("bytes=").partition("-")[0])
            found.append((start, start + one.bytes_sent))
    return found


def overlap(some: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> int:
    return sum(max(0, min(end, last) - max(start, first)) for start, end in some for first, last in others)


def test_two_linked_sites_fetch_one_copy(sites: Sites, trial: Trial) -> None:
    sites.pull()
    trial.ends(egress=1.05, ratio=1.4, from_peers=1 - 1.05 / len(trial.nodes), is_exact=True)


def test_parted_sites_fetch_a_copy_each_and_nothing_again_once_they_are_healed(sites: Sites, trial: Trial) -> None:
    trial.lab.origin.shape(60e6)  # slow enough that they are still at it when they are healed
    sites.pull()
    trial.reaches(0.1)
    trial.lab.part(*sites.nodes.values())
    sites.until("apart", sites.are_apart)
    trial.lab.join()
    sites.until("healed", sites.agree)
    healed = time.monotonic()
    before = spans(trial.hub.log.requests(method="GET", file="*"))
    trial.ends(egress=2 * 1.05, is_exact=True)
    after = spans([one for one in trial.hub.log.requests(method="GET", file="*") if one.start > healed])
    assert after, "there was something left to fetch"
    # What a node was told to fetch before its scheduler heard of the other site, it still fetches.
    assert overlap(after, before) <= len(trial.nodes) * 2 * MIB, "no unit is fetched again"


def test_what_one_site_has_the_other_gets_from_there(sites: Sites, trial: Trial) -> None:
    nodes = [
        sites.run(node, "node", "--scheduler", sites.places[site], "--zone", "rack", "--no-mirrors")
        for site, there in sites.nodes.items()
        for node in there
    ]
    sites.until("all are there", lambda: sites.agree() and len(sites.known(SITES[0])) == len(nodes))
    for site, most in zip(SITES, (1.05, 1.06), strict=True):
        words = ("fleet", "submit", trial.repo.name, "--nodes", "*", "--wait", "--json", "--no-mirrors")
        ended = sites.nodes[site][0].glm_aria(*words, "--scheduler", sites.places[site], root=trial.hub.url, env=ENV)
        task = json.loads(ended.wait(150).stdout)["data"]
        assert task["state"] == "done"
        assert len(task["nodes"]) == len(nodes) / 2, "a task stays at its site"
        assert trial.egress() <= most
    assert not any(node.wrong(trial.repo) for node in trial.nodes)
