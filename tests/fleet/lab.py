"""A small lab: machines on one switch, each a network namespace, and behind a router the origin of what they fetch.

    with Lab.open(4, rate=1e9, origin_rate=200e6) as lab, lab.hub([repo]) as hub:
        running = [node.glm_aria("pull", repo.name, "--no-mirrors", root=hub.url) for node in lab.nodes]
        assert all(each.wait().code == 0 for each in running)
        assert not any(node.wrong(repo) for node in lab.nodes)
        assert egress(hub, repo) <= 1.05

`tc tbf` limits each machine in both directions, and the origin in what it sends. Multicast, IPv4 and IPv6 work on the
switch. It takes root and iproute2; nothing leaves the namespaces. When the process that opened a lab ends, even by
SIGKILL, all that runs in it is killed, and its folder is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.fleet.keeper import enter
from tests.fleet.running import Running
from tests.hub.content import sha256_of
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo

ROOT = Path(__file__).parents[2]
_MAC = "02:78:00:00:00:01"
"""Of the router, in whatever part of the switch a machine is."""
_SWITCH = "mcast_snooping 0"  # every machine gets what is for many


def missing() -> str | None:
    """Why no lab can be made here; None where one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "tc", "nsenter", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    trial = (
        f"ip link add br0 type bridge {_SWITCH}; ip link add port type veth peer name eth0; ip link set port master br0"
    )
    words = ["unshare", "--net", "sh", "-ec", f"{trial}; tc qdisc add dev port root {_tbf(1e6)}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return f"no lab can be made here: {done.stderr.strip()[-200:]}" if done.returncode else None


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the lab: its name, its addresses, a folder for all that it keeps, a process that has its network
    namespace, and one that has that of the switch, where its cable ends in `port`."""

    name: str
    address: str
    address6: str
    folder: Path
    pid: int
    switch: int
    port: str

    @property
    def within(self) -> tuple[str, ...]:
        """The words before a command that is to run there; they become the command, in the same process."""
        return _within(self.pid)

    def with_disk(self, folder: Path) -> Node:
        """The same machine with an empty disk."""
        folder.mkdir()
        return replace(self, folder=folder)

    def environment(self) -> dict[str, str]:
        """Nothing of the user's; all that a program keeps of its own comes to lie in the folder."""
        folder = str(self.folder)
        own = dict.fromkeys(("HOME", "TMPDIR", "XDG_RUNTIME_DIR"), folder)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        quiet = dict.fromkeys(("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK"), "1")
        return {"PATH": path, "LANG": "C.UTF-8", "HF_HOME": f"{folder}/hf"} | own | quiet

    def run(self, *words: str, wait_s: float = 60) -> str:
        """What a command there prints. Raises CalledProcessError, TimeoutExpired."""
        argv = [*self.within, *words]
        done = subprocess.run(
            argv, env=self.environment(), cwd=self.folder, stdout=subprocess.PIPE, text=True, timeout=wait_s, check=True
        )
        return done.stdout

    def start(self, *words: str, env: Mapping[str, str] | None = None, name: str = "") -> Running:
        """Start a command there, with these variables besides its own; see `Running.start`."""
        return Running.start(
            [*self.within, *words],
            {**self.environment(), **(env or {})},
            self.folder,
            name or words[0].rpartition("/")[2],
        )

    def glm_aria(
        self, *words: str, root: str, env: Mapping[str, str] | None = None, module: str = "orchestrator.cli.main"
    ) -> Running:
        """Start a command of glm-aria there, with the Hub at `root` as its root; `module` is what Python runs."""
        argv = [sys.executable, "-m", module, *words]
        return self.start(*argv, env={"PYTHONPATH": str(ROOT), "HF_ENDPOINT": root, **(env or {})}, name=words[0])

    def wait_for(self, port: int, running: Running, wait_s: float = 60) -> None:
        """Wait until something accepts connections at a port here, which `running` is expected to do."""
        looks = f"import socket; socket.create_connection(('{self.address}', {port}), 1)"
        deadline = time.monotonic() + wait_s
        while self.start(sys.executable, "-c", looks, name="look").wait().code:
            assert time.monotonic() < deadline, running.said()
            time.sleep(0.1)

    def wrong(self, repo: Repo) -> list[str]:
        """The files of a repo, as its head has them, that are not in the cache here with all their bytes."""
        held = self.folder / "hf" / "hub" / f"models--{repo.name.replace('/', '--')}" / "snapshots" / repo.head
        return [
            path
            for path, file in repo.commits[repo.head].files.items()
            if _sha256(held / path) != sha256_of(file.content)
        ]

    def shape(self, rate: float) -> None:
        """Let no more than `rate` bits a second out of it and into it from now on."""
        self.run("tc", "qdisc", "replace", "dev", "eth0", "root", *_tbf(rate).split())
        _run(self.switch, f"tc qdisc replace dev {self.port} root {_tbf(rate)}")

    def unplug(self) -> None:
        """Pull its cable: nothing comes or goes any more, and nobody is told. `Lab.join` puts all back."""
        _run(self.switch, f"ip link set {self.port} nomaster")

    def wire(self) -> tuple[int, int]:
        """Bytes that came and went on its cable so far, with all headers and what was sent twice."""
        (link,) = json.loads(self.run("ip", "-json", "-statistics", "link", "show", "dev", "eth0"))
        return link["stats64"]["rx"]["bytes"], link["stats64"]["tx"]["bytes"]


class Lab:
    """The machines, while it is open. `folder` has one for each of them, in memory where the system has such."""

    def __init__(self, folder: Path, switch: int, origin: Node, nodes: Sequence[Node]) -> None:
        self.folder, self.origin, self.nodes = folder, origin, tuple(nodes)
        self._switch = switch

    @classmethod
    @contextmanager
    def open(cls, count: int, *, rate: float = 0, origin_rate: float = 0, folder: Path | None = None) -> Iterator[Lab]:
        """Make `count` machines, with rates in bits per second (0: any), and an origin. All may be shaped anew later.
        Their folder is made in `folder`."""
        memory = Path("/dev/shm")
        own = Path(tempfile.mkdtemp(prefix="glm-aria-lab-", dir=folder or (memory if memory.is_dir() else None)))
        words = [sys.executable, "-m", "tests.fleet.keeper", str(count + 2), str(own)]
        keeper = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert keeper.stdin
        assert keeper.stdout
        try:
            switch, far, *pids = json.loads(keeper.stdout.readline())
            _run(switch, *_FORWARDING, *_part(0), "ip link set lo up")
            origin = _machine("origin", 79, 2, far, switch, own)
            _run(
                switch,
                f"ip address add 10.79.0.1/24 dev {origin.port}",
                f"ip address add fd79::1/64 dev {origin.port} nodad",
            )
            nodes = [
                _machine(f"node-{number}", 78, 10 + number, pid, switch, own) for number, pid in enumerate(pids, 1)
            ]
            _run(switch, *(f"ip link set {node.port} master br0" for node in nodes))
            for node, limit in ((origin, origin_rate), *((node, rate) for node in nodes)):
                if limit:
                    node.shape(limit)
            yield cls(own, switch, origin, nodes)
        finally:
            keeper.stdin.close()
            keeper.wait(60)
            keeper.stdout.close()

    @contextmanager
    def hub(self, repos: Iterable[Repo], **options: Any) -> Iterator[LoopbackHub]:
        """Serve these at the origin, by a thread of this process; see `LoopbackHub` for the options."""
        pid = self.origin.pid
        with LoopbackHub(repos, address=self.origin.address, enter=lambda: enter(pid), **options) as hub:
            yield hub

    def part(self, *sides: Sequence[Node]) -> None:
        """Part the switch, so that machines reach those of their side alone, and the origin."""
        for number, side in enumerate(sides):
            _run(self._switch, *_part(number))
            for node in side:
                _run(self._switch, f"ip link set {node.port} master br{number}")
                for address in (node.address, node.address6):
                    _run(self._switch, f"ip route replace {address} dev br{number}")

    def join(self) -> None:
        """Make one switch of all again, with all cables in."""
        self.part(self.nodes)


def egress(hub: LoopbackHub, repo: Repo, *nodes: Node) -> float:
    """Bytes of a repo's files that all faces of the Hub have sent, to these nodes where any are named, over the size of
    its head."""
    of = {address for node in nodes for address in (node.address, node.address6)}
    sent = (one.bytes_sent for one in hub.log.requests(file="*") if not of or one.client in of)
    return sum(sent) / size(repo)


def size(repo: Repo) -> int:
    """Bytes of all files of a repo at its head."""
    return repo.commits[repo.head].size


_FORWARDING = tuple(f"echo 1 >/proc/sys/net/{name}" for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"))


def _part(number: int) -> tuple[str, ...]:
    """The commands that make a part of the switch, with the router in it, unless it is there."""
    made = f"ip link show br{number} >/dev/null 2>&1 || ip link add br{number} address {_MAC} type bridge {_SWITCH}"
    v4, v6 = (f"ip address replace {address} dev br{number}" for address in ("10.78.0.1/24", "fd78::1/64 nodad"))
    return made, f"ip link set br{number} up", v4, v6


def _machine(name: str, network: int, number: int, pid: int, switch: int, folder: Path) -> Node:
    """Lay a cable from the switch's namespace to a machine's, and give it addresses and a folder."""
    own, port = folder / name, f"to-{name}"
    own.mkdir()
    node = Node(name, f"10.{network}.0.{number}", f"fd{network}::{number}", own, pid, switch, port)
    _run(switch, f"ip link add {port} type veth peer name eth0 netns {pid}", f"ip link set {port} up")
    _run(
        pid,
        "ip link set lo up",
        "ip link set eth0 up",
        f"ip address add {node.address}/24 dev eth0",
        f"ip address add {node.address6}/64 dev eth0 nodad",
        f"ip route add default via 10.{network}.0.1",
        f"ip route add default via fd{network}::1",
        "ip route add 224.0.0.0/4 dev eth0",
        *(f"echo 4096 131072 {most} >/proc/sys/net/ipv4/tcp_{way}" for way, most in _BUFFERS),
    )
    return node


_BUFFERS = (("rmem", 6 << 20), ("wmem", 1 << 20))
"""The most that the kernel keeps of a connection: enough for these lines, and little that counts as sent too early."""


def _tbf(rate: float) -> str:
    """A limit in bits per second, with a queue of a tenth of a second."""
    return f"tbf rate {rate:.0f}bit burst {max(65536, int(rate / 8 / 500))} latency 100ms"


def _within(pid: int) -> tuple[str, ...]:
    return ("nsenter", f"--net=/proc/{pid}/ns/net")


def _run(pid: int, *commands: str) -> None:
    """Run commands of a shell, one after the other, in the namespace of a process."""
    words = [*_within(pid), "sh", "-ec", "\n".join(commands)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{commands}: {done.stderr}"


def _sha256(path: Path) -> str:
    """ "" where there is no file."""
    if not path.is_file():
        return ""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
