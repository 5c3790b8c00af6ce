"""Dragonfly as a mirror: a stand-in of its daemon that does what the documentation says of the rendered configuration.

Dragonfly itself is in none of the package sources. What is held here is our side: the file has options that it knows, a
pull takes files from the daemon, gives it no token, and places nothing that it altered.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.hub.content import Bytes, generate
from tests.hub.faces import Face
from tests.hub.faults import Fault, fault_set
from tests.hub.log import RequestLog
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.wire import Reply, Request, file_reply
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, content

FILES = {"config.json": b"{}\n", "model.safetensors": generate(4 << 20, 3)}
KNOWN = {"server": {"ip", "port"}, "rules": {"regex"}, "registryMirror": {"addr"}}
"""Options of the documentation that we use, besides `prefetch`."""


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Daemon:
    """What `proxy` of dfdaemon.yaml makes of a request that names no host: a task of peers, or the origin's answer."""

    def __init__(self, options: Any) -> None:
        self._address, self._rules = options["registryMirror"]["addr"], [rule["regex"] for rule in options["rules"]]
        self.tasks: dict[str, bytes] = {}

    def __call__(self, request: Request) -> Reply:
        url = self._address + request.target
        if any(re.search(rule, url) for rule in self._rules):
            if url not in self.tasks:
                with urllib.request.urlopen(url) as answer:  # follows the way to the CDN
                    self.tasks[url] = answer.read()
            return file_reply(request, Bytes(self.tasks[url]), "task", {})
        opener = urllib.request.build_opener(_Stay)
        asked = urllib.request.Request(url, method=request.method)
        try:
            with opener.open(asked) as answer:
                return Reply(answer.status, dict(answer.headers), Bytes(answer.read()))
        except urllib.error.HTTPError as error:
            return Reply(error.code, dict(error.headers), Bytes(error.read()))


@contextmanager
def dragonfly(machine: Machine, hub: LoopbackHub, *faults: Fault) -> Iterator[tuple[str, Daemon, RequestLog]]:
    """A daemon with the rendered configuration; its port is the one that the system gives."""
    text = machine.run("render", "dfdaemon.yaml", "--set", f"upstream={hub.url}").ended(0).out
    options = yaml.safe_load(text)["proxy"]
    for name, known in KNOWN.items():
        for each in options[name] if isinstance(options[name], list) else [options[name]]:
            assert set(each) <= known
    assert set(options) == {*KNOWN, "prefetch"}
    daemon, log = Daemon(options), RequestLog()
    with LoopbackHub() as beside:  # a thread of its own: it waits for the hub
        yield beside.serve(Face("dragonfly", daemon, log, faults=fault_set(faults))), daemon, log


@pytest.fixture
def repo() -> Repo:
    return Repo("model", "org/m", FILES)


def test_files_come_from_the_daemon_which_sees_no_token(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    hub = make_hub(repo)
    with dragonfly(machine, hub) as (url, daemon, log):
        done = machine.pull("org/m", "--mirror", url).ended(0)
        assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
        sent = {name for file in done.model["files"] for name, count in file["sources"].items() if count}
        assert url.partition("://")[2] in sent
        assert any("model.safetensors" in task for task in daemon.tasks)
        assert log.tokens() == set()


def test_what_the_daemon_altered_is_not_placed(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    hub = make_hub(repo)
    with dragonfly(machine, hub, Fault("bit_flip", "*.safetensors")) as (url, _, _):
        machine.pull("org/m", "--mirror", url).ended(0)
        assert content(machine.snapshot("model/org/m", repo.head)) == wanted(repo)
