"""A node that follows an alias: what it asks, what it fetches, and when it flips."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestrator.net.credentials import Credentials
from orchestrator.net.server_events import events_in
from orchestrator.net.session import Net
from tests.hub.content import MIB, generate
from tests.machine.machine import Machine, content, until
from tests.serve.registry.house import RegistryHouse, registry_house
from tests.serve.servers import Server

MODEL = "team/model"
BIG, CHANGED = 8 * MIB, 64 << 10
_WRITTEN = re.compile(r"method=GET .*/blobs/.* http.response.written=(\d+)")


def version(number: int) -> dict[str, bytes]:
    return {"model.safetensors": generate(BIG, 1), "adapter.safetensors": generate(CHANGED, number + 10)}


def commit_of(digest: str) -> str:
    return digest.removeprefix("sha256:")[:40]


class Follower:
    """A node that watches a list; its hook writes a line for each flip. Its interval is an hour."""

    def __init__(self, machine: Machine, house: RegistryHouse, *refs: str) -> None:
        self.machine = machine
        path = machine.work / "models.txt"
        path.write_text("".join(f"{ref}\n" for ref in refs))
        self._flips = machine.work / "flips"
        self._running = machine.start(
            *("watch", str(path), "--json", "--progress", "none", "--interval", "1h", "--on-change"),
            f'echo "$GLM_ARIA_OLD_COMMIT $GLM_ARIA_NEW_COMMIT $GLM_ARIA_VERSION" >> {self._flips}',
            env={"GLM_ARIA_REGISTRY": house.server.url, "GLM_ARIA_REGISTRY_TOKEN": house.tokens["node"]},
        )

    @property
    def flips(self) -> list[list[str]]:
        return [line.split(" ") for line in self._flips.read_text().splitlines()] if self._flips.exists() else []

    def becomes(self, digest: str) -> None:
        assert until(lambda: self.flips[-1:] != [] and self.flips[-1][1] == commit_of(digest), 30), self.flips

    def files(self, digest: str) -> Any:
        return content(self.machine.snapshot("model/team/model", commit_of(digest)))

    def stop(self) -> Any:
        self._running.signal(signal.SIGTERM)
        return self._running.end().ended(143).document


@dataclass
class Lab:
    """A registry with a model whose `prod` stands for 1.0.0, and what was asked of it."""

    house: RegistryHouse
    log: Path
    digests: list[str] = field(default_factory=list)

    def push(self, number: int) -> str:
        self.digests.append(self.house.publish("ci", MODEL, f"1.{number}.0", version(number)))
        return self.digests[-1]

    def move(self, to: str) -> None:
        path = f"/{MODEL}/aliases/prod"
        present = self.house.call("ci", "GET", path).tag
        condition = {"If_Match": present} if present else {"If_None_Match": "*"}
        assert self.house.call("ci", "PUT", path, {"version": to}, **condition).status == 200

    def sent(self) -> int:
        """Bytes of blobs that the registry sent."""
        return sum(map(int, _WRITTEN.findall(self.house.below.log)))

    def asked(self, call: str) -> list[str]:
        """The calls of that name that the node made."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line["path"] for line in lines if line["caller"] == "node" and call in line["path"]]

    def restart(self) -> None:
        """Kill the server, and start it again at the same address."""
        server = self.house.server
        server.kill()
        words = ("--listen", urlsplit(server.url).netloc, *self.house.words)
        self.house.server = Server.start(server.machine, *words)

    @contextmanager
    def stream(self, who: str, last: str) -> Iterator[Iterator[tuple[str, str, Any]]]:
        """The events that somebody hears behind a number."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
        url = f"{self.house.server.url}/registry/v1/events"
        host = frozenset({urlsplit(url).netloc})
        with Net(Credentials(self.house.tokens[who], host)) as net, net.listen(url, headers) as found:
            yield ((event.id, event.name, json.loads(event.data)) for event in events_in(found.chunks()))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    log = tmp_path / "access.log"
    with registry_house(tmp_path, "--access-log", str(log)) as house:
        house.person("ci", "--role", "admin")
        house.person("node", "--role", "reader")
        lab = Lab(house, log)
        lab.push(0)
        lab.move("1.0.0")
        yield lab


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "node", "hf_of_the_node")
    yield machine
    machine.stop()


def test_a_follower_has_what_an_alias_moves_to(lab: Lab, node: Machine) -> None:
    """It fetches the changed file alone, proves it, and flips once for each move; the interval is an hour."""
    follower = Follower(node, lab.house, f"reg://{MODEL}@prod")
    follower.becomes(lab.digests[0])
    for number in (1, 2, 3):
        lab.push(number)
        before = lab.sent()
        lab.move(f"1.{number}.0")
        follower.becomes(lab.digests[number])
        assert follower.files(lab.digests[number]) == version(number)
        assert CHANGED <= lab.sent() - before <= 1.05 * CHANGED
    commits = list(map(commit_of, lab.digests))
    versions = [f"1.{number}.0" for number in range(4)]
    assert follower.flips == list(map(list, zip(["", *commits], commits, versions, strict=False)))
    ended = follower.stop()
    assert ended["warnings"] == []
    (model,) = ended["data"]["watches"][0]["models"]
    assert (model["commit"], model["version"]) == (commits[-1], "1.3.0")


def test_nothing_is_asked_where_nothing_moved(lab: Lab, node: Machine) -> None:
    """Versions that no alias of it stands for are no reason; a range is told of a version in it."""
    follower = Follower(node, lab.house, f"reg://{MODEL}@prod", f"reg://{MODEL}@^2")
    follower.becomes(lab.digests[0])
    before = len(lab.asked("resolve"))
    assert before <= 4, "both at the start, and once the events are heard"
    for number in (1, 2, 3):
        lab.push(number)
    lab.move("1.3.0")
    follower.becomes(lab.digests[3])
    assert [new for _, new, _ in follower.flips] == [commit_of(lab.digests[0]), commit_of(lab.digests[3])]


def test_a_follower_hears_what_moved_while_the_server_was_away(lab: Lab, node: Machine) -> None:
    follower = Follower(node, lab.house, f"reg://{MODEL}@prod")
    follower.becomes(lab.digests[0])
    lab.push(1)
    lab.restart()
    lab.move("1.1.0")
    follower.becomes(lab.digests[1])


def test_events_are_streamed_to_who_may_read_the_model(lab: Lab) -> None:
    """With numbers by which a client goes on; a number of another trail is answered with the last one that the reader
    may see. Who may see none learns from it nothing about others."""
    lab.house.person("stranger", "--role", "reader", "--namespace", "other")
    with lab.stream("node", last="1") as events, lab.stream("stranger", last="1000") as others:
        assert next(events) == ("1", "ready", {})
        assert next(others) == ("0", "ready", {})
        number, name, told = next(events)
        assert (number, name) == ("2", "message")
        assert (told["deed"], told["name"], told["who"], told["after"]) == ("move", "prod", "ci", lab.digests[0])
        lab.push(1)
        number, _, told = next(events)
        assert (number, told["deed"], told["name"]) == ("3", "publish", "1.1.0")
        lab.house.publish("ci", "other/model", "1.0.0", version(0))
        number, _, told = next(others)
        assert (number, told["model"]) == ("4", "other/model")
    assert lab.house.call("node", "GET", "/events?after=x", Accept="text/event-stream").status == 400


def test_a_save_is_flipped_on_a_follower(lab: Lab, node: Machine, tmp_path: Path) -> None:
    """`push --watch` makes a development version of each save, and moves the alias that a node follows."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name, data in version(0).items():
        (folder / name).write_bytes(data)
    pushing = lab.house.machine.start(
        *("push", str(folder), f"reg://{MODEL}:2.0.0", "--watch", "--alias", "dev", "--progress", "none"),
        env={"GLM_ARIA_REGISTRY": lab.house.server.url, "GLM_ARIA_REGISTRY_TOKEN": lab.house.tokens["ci"]},
    )
    assert pushing.process.stdout
    digests = [pushing.process.stdout.readline().strip()]
    follower = Follower(node, lab.house, f"reg://{MODEL}@dev")
    follower.becomes(digests[0])
    for number in (1, 2):
        before = lab.sent()
        other = tmp_path / "other"
        other.write_bytes(version(number)["adapter.safetensors"])
        other.replace(folder / "adapter.safetensors")
        digests.append(pushing.process.stdout.readline().strip())
        follower.becomes(digests[-1])
        assert follower.files(digests[-1]) == version(number)
        assert CHANGED <= lab.sent() - before <= 1.05 * CHANGED
    assert [new for _, new, _ in follower.flips] == list(map(commit_of, digests))
    pushing.signal(signal.SIGTERM)
    assert pushing.end().code == 143
    found = lab.house.call("ci", "GET", f"/{MODEL}/versions").value["versions"]
    assert [one["version"] for one in found if "dev" in one["version"]] == ["2.0.0-dev.3", "2.0.0-dev.2", "2.0.0-dev.1"]
