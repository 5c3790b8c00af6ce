"""The ways in which nodes get one model: each by itself, through a server in their network, or from each other.

A way is opened for one run, with what has to run beside the nodes, and then started on each node. A node's folder, and
that of each server, is empty then.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.benchlib import peers
from tests.fleet.lab import Node
from tests.fleet.running import Running
from tests.servers.nginx import rendered

KEY = "bench-" + "k" * 40
PORT = 8090


@dataclass(frozen=True, slots=True)
class Scene:
    """One run: the machines, of which `head` is there for a server, and the repo as a client is told it."""

    nodes: Sequence[Node]
    head: Node
    repo: peers.Repo


@dataclass(frozen=True, slots=True)
class Opened:
    """What starts the fetch on a node, and what runs beside. `peer` is who it is in `benchlib.peers`."""

    peer: str
    start: Callable[[Node], Running]
    beside: tuple[Running, ...] = ()


Way = Callable[[Scene], AbstractContextManager[Opened]]


def _alone(peer: str) -> Way:
    """Each node by itself, with no word about the others."""

    @contextmanager
    def way(scene: Scene) -> Iterator[Opened]:
        yield Opened(peer, lambda node: _client(peer, node, scene.repo))

    return way


def _client(peer: str, node: Node, repo: peers.Repo, *more: str, env: Mapping[str, str] | None = None) -> Running:
    argv = [*peers.command(peer, repo, node.folder), *more]
    if peer == "glm-aria":
        return node.glm_aria(*argv[1:], "--no-mirrors", "--json", root=repo.url, env=env)
    return node.start(*argv, env={"HF_ENDPOINT": repo.url, **(env or {})})


@contextmanager
def relay(scene: Scene) -> Iterator[Opened]:
    """nginx as `glm-aria render nginx-relay.conf` has it, on a machine of its own."""
    head, own = scene.head, scene.head.folder / "relay"
    own.mkdir(mode=0o700)
    values = [f"folder={own}", "listen=0.0.0.0", f"port={PORT}", f"cdn_port={PORT + 1}", f"upstream={scene.repo.url}"]
    conf = head.folder / "relay.conf"
    conf.write_text(f"user root;\n{rendered('nginx-relay.conf', *values)}")
    program = shutil.which("nginx", path=f"{head.environment()['PATH']}:/usr/sbin:/usr/local/sbin")
    assert program, "nginx is missing"
    with _beside(
        head.start(program, "-e", "stderr", "-c", str(conf), "-g", "daemon off;", name="nginx"), head
    ) as server:
        yield _through("hf", scene, server)


@contextmanager
def serve(scene: Scene) -> Iterator[Opened]:
    """`glm-aria serve` on a machine of its own."""
    head = scene.head
    words = ["serve", "--no-mirrors", "--listen", f"0.0.0.0:{PORT}", "--auth", "none", "--host", head.address]
    with _beside(head.glm_aria(*words, root=scene.repo.url), head) as server:
        yield _through("hf", scene, server)


def _through(peer: str, scene: Scene, server: Running) -> Opened:
    repo = peers.Repo(f"http://{scene.head.address}:{PORT}", scene.repo.name, scene.repo.files)
    return Opened(peer, lambda node: _client(peer, node, repo), (server,))


@contextmanager
def _beside(server: Running, head: Node) -> Iterator[Running]:
    """A server that listens at the port, until the block ends."""
    head.wait_for(PORT, server)
    try:
        yield server
    finally:
        server.terminate()


@contextmanager
def by_list(scene: Scene) -> Iterator[Opened]:
    """`glm-aria pull --peer`: each node has the list of all."""
    named = [word for node in scene.nodes for word in ("--peer", node.address)]
    yield _fleet(scene, *named)


@contextmanager
def by_lan(scene: Scene) -> Iterator[Opened]:
    """`glm-aria pull --lan`: nodes find each other."""
    yield _fleet(scene, "--lan")


@contextmanager
def by_fleet(scene: Scene) -> Iterator[Opened]:
    """`glm-aria pull --fleet` with a scheduler that one of the processes hosts."""
    yield _fleet(scene, "--fleet", f"{scene.nodes[0].address}:8091")


def _fleet(scene: Scene, *words: str) -> Opened:
    env = {"GLM_ARIA_FLEET_KEY": KEY}
    return Opened("glm-aria", lambda node: _client("glm-aria", node, scene.repo, *words, env=env))


WAYS: Mapping[str, Way] = {
    "glm-aria alone": _alone("glm-aria"),
    "hf": _alone("hf"),
    "aria2c -x16": _alone("aria2c"),
    "hf by nginx relay": relay,
    "hf by glm-aria serve": serve,
    "glm-aria pull --peer": by_list,
    "glm-aria pull --lan": by_lan,
    "glm-aria pull --fleet": by_fleet,
}


def known_options() -> str:
    """The help of `glm-aria pull`, in which a way looks for its option."""
    words = [sys.executable, "-m", "orchestrator.cli.main", "pull", "--help"]
    return subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True).stdout
