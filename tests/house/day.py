"""A day in a house: random steps around one server, and what must be true at its end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random

from tests.clients.judge import content_of
from tests.house.users import Users
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.machine import Machine, Result, Running
from tests.serve.servers import Server

WEIGHTS = "*.safetensors"
LINE = Shape(total_rate=12e6)
"""Of each source: slow enough that most things happen in the middle of something."""
MIRRORS = ("near", "far")
NARROW = 12_000_000
"""Bytes of a cache that cannot hold all models at once."""
TROUBLES: dict[str, tuple[tuple[str, Fault], ...]] = {
    "a mirror lies": (("near", Fault("bit_flip", WEIGHTS)),),
    "a mirror lies of everything": (("far", Fault("substitute")),),
    "a mirror cuts": (("near", Fault("reset", WEIGHTS)), ("far", Fault("truncated", WEIGHTS, times=3))),
    "a mirror stalls": (("far", Fault("stall", WEIGHTS)),),
    "the storage stalls": (("cdn", Fault("stall", WEIGHTS, times=2)),),
    "a mirror refuses": (("near", Fault("rate_limited")),),
    "the root refuses": (("hub", Fault("rate_limited", times=3)), ("cdn", Fault("rate_limited", times=3))),
    "the root is gone": (("hub", Fault("status", status=503)), ("cdn", Fault("status", status=503))),
    "all are gone": tuple((face, Fault("status", status=503)) for face in ("hub", "cdn", *MIRRORS)),
}
"""What goes wrong behind the server, by face."""


@dataclass
class Day:
    """The house and all who come to it. Each step has a name, and `told` says what was done."""

    machine: Machine
    hub: LoopbackHub
    draw: Random
    users: Users
    repos: tuple[Repo, ...]
    server: Server
    told: list[str] = field(default_factory=list)
    _troubles: int = 0
    _errands: int = 0
    _trouble: str | None = None
    _is_narrow: bool = False
    _listening: threading.Thread | None = None
    _results: list[Result] = field(default_factory=list)
    _beside: list[Running] = field(default_factory=list)

    # -- the steps

    def step(self) -> None:
        """Do one thing at random."""
        names = list(STEPS)
        (name,) = self.draw.choices(names, [weight for weight, _ in STEPS.values()])
        said = STEPS[name][1](self)
        self.told.append(f"{len(self.told)} {name}: {said}")
        self.users.count[name] += 1

    def come(self) -> str:
        """A client comes."""
        before = self.users.leave(self.calm) + "; " if self.users.is_full else ""
        repo = self.draw.choice(self.repos)
        revision = self.draw.choice(list(repo.commits))
        return before + self.users.come(self.server.url, repo, revision, self.calm)

    def leave(self) -> str:
        """A client has what it wants."""
        return self.users.leave(self.calm) if self.users.visits else "nobody is here"

    def kill(self) -> str:
        """A client is killed."""
        return self.users.kill() if self.users.visits else "nobody is here"

    def trouble(self) -> str:
        """Something goes wrong behind the server, in the place of what went wrong before."""
        self.hub.clear_faults()
        self._troubles += 1
        self._trouble = self.draw.choice(list(TROUBLES))
        for face, fault in TROUBLES[self._trouble]:
            self.hub.fault(fault, face=face)
        return self._trouble

    def relief(self) -> str:
        """It is over, and the operator takes the mirrors back that lied."""
        self.hub.clear_faults()
        self._troubles += 1
        for name in MIRRORS:
            host = self.hub.faces[name].url.partition("://")[2]
            self.machine.run("mirrors", "forgive", host)
        was, self._trouble = self._trouble, None
        return was or "all was well"

    def power_cut(self) -> str:
        """The server is killed, and started again at the same address."""
        self._troubles += 1
        self._end_server(signal.SIGKILL)
        self._restart()
        return "killed"

    def restart(self) -> str:
        """The server is stopped in good order, and started again."""
        self._troubles += 1
        number = self.draw.choice((signal.SIGTERM, signal.SIGINT))
        self.stop(number)
        self._restart()
        return signal.Signals(number).name

    def evict(self) -> str:
        """A model is removed under those who read it, by the server or beside it."""
        repo = self.draw.choice(self.repos)
        words = self.draw.choice((("cache", "rm", repo.name, "--yes"), ("serve", "evict", repo.name)))
        ended = self.machine.run(*words, "--json")
        # Somebody may use it; it may not be there.
        assert ended.code in (0, 66, 75, 80), ended
        return f"{' '.join(words)} -> {ended.code}"

    def prefetch(self) -> str:
        """The server is told to fetch a model."""
        self._reap()
        wanted = self._some_revision()
        self._beside.append(self.machine.start("serve", "prefetch", wanted, "--json"))
        return wanted

    def collect(self) -> str:
        """Garbage is collected beside the server."""
        return f"-> {self.machine.run('cache', 'gc', '--yes', '--json').ended(0).code}"

    def pull(self) -> str:
        """Another glm-aria fills the same cache."""
        self._reap()
        wanted = self._some_revision()
        self._beside.append(self.machine.start_pull(*self._mirrors, wanted))
        return wanted

    def run_beside(self) -> str:
        """A command has a server of its own, on the same cache."""
        self._reap()
        repo = self.draw.choice(self.repos)
        commit = repo.commits[self.draw.choice(list(repo.commits))]
        path = self.draw.choice(list(commit.files))
        self._errands += 1
        got = f"got-{self._errands}"
        fetch = f'curl -sSf -o {got} "$HF_ENDPOINT/{repo.name}/resolve/{commit.oid}/{path}"'
        check = f"echo {content_of(commit)[path]} {got} | sha256sum -c"
        words = ("run", "--root", self.hub.url, *self._mirrors, "--", "sh", "-c", f"{fetch} && {check}")
        self._beside.append(self.machine.start(*words))
        return f"{path} of {repo.name}"

    def other_program(self) -> str:
        """A program that knows nothing of us leaves a file in the cache, whole or spoiled."""
        repo = self.draw.choice(self.repos)
        commit = repo.commits[self.draw.choice(list(repo.commits))]
        path = self.draw.choice([path for path, file in commit.files.items() if file.size])
        file = commit.files[path]
        folder = self.machine.cache / f"models--{repo.name.replace('/', '--')}"
        blob = folder / "blobs" / file.etag
        link = folder / "snapshots" / commit.oid / path
        if blob.exists() or link.exists() or link.is_symlink():
            return "it is there"
        data = file.content.read(0, file.size)
        is_right = self.draw.random() < 0.5
        for made in (blob, link):
            made.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data if is_right else bytes(byte ^ 1 for byte in data))
        with suppress(FileExistsError):  # the server was faster
            link.symlink_to("../" * (2 + path.count("/")) + f"blobs/{file.etag}")
        return f"{path} of {repo.name}, {'right' if is_right else 'wrong'}"

    def move(self) -> str:
        """A branch moves to a new commit, with another shard."""
        repo = self.draw.choice(self.repos)
        if len(repo.commits) >= 4:
            return "often enough"
        number = len(repo.commits)
        repo.commit({"model-extra.safetensors": generate(MIB, number), "README.md": f"version {number}\n".encode()})
        return f"{repo.name} to {repo.head[:8]}"

    def _some_revision(self) -> str:
        repo = self.draw.choice(self.repos)
        return f"{repo.name}@{self.draw.choice(list(repo.commits))}"

    # -- the server

    @property
    def calm(self) -> int | None:
        """The number of troubles there were, while there is none. A server without room refuses what it cannot keep."""
        return self._troubles if self._trouble is None and not self._is_narrow else None

    @property
    def _mirrors(self) -> tuple[str, ...]:
        return tuple(word for name in MIRRORS for word in ("--mirror", self.hub.faces[name].url))

    @classmethod
    def begin(cls, machine: Machine, hub: LoopbackHub, repos: tuple[Repo, ...], draw: Random) -> Day:
        """A house with its server."""
        mirrors = [word for name in MIRRORS for word in ("--mirror", hub.mirror(name, shape=LINE).url)]
        made = cls(machine, hub, draw, Users(machine.folder / "users", draw), repos, Server.start(machine, *mirrors))
        made._listen()
        return made

    def _restart(self) -> None:
        port = self.server.url.rpartition(":")[2]
        self._is_narrow = self.draw.random() < 0.4
        bound = ("--max-size", str(NARROW)) if self._is_narrow else ()
        self.server = Server.start(self.machine, *self._mirrors, *bound, "--listen", f"127.0.0.1:{port}")
        self._listen()

    def _listen(self) -> None:
        """Read what the server writes, or it waits for us when the pipe is full."""
        running = self.server.running
        self._listening = threading.Thread(target=lambda: self._results.append(running.end(24 * 3600)))
        self._listening.start()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the server in good order."""
        self._end_server(number).ended(0)

    def _end_server(self, number: int) -> Result:
        """End the server by a signal. It must not have met a bug."""
        self.server.running.signal(number)
        assert self._listening
        self._listening.join(30)
        assert self._results, "the server did not end"
        result = self._results.pop()
        assert "a request failed" not in result.err, result.err
        assert "Traceback" not in result.err, result.err
        return result

    def _reap(self) -> None:
        """Wait for the commands beside the server; what they could not get is no harm."""
        for running in self._beside:
            ended = running.end(120)
            assert ended.code not in (65, 70), ended
            assert "FAILED" not in ended.out, ended  # sha256sum says so
        self._beside.clear()

    # -- the evening

    def end(self) -> None:
        """All goes well again, everybody gets what he wants, and the house is empty and clean."""
        self.relief()
        self.users.all_leave(self.calm)
        self._is_narrow = True  # that this is over counts from the restart on
        while self._is_narrow:
            self.restart()
        self._reap()
        for repo in self.repos:
            for revision in repo.commits:
                for name in ("curl", "hf"):
                    self.users.visit(name, self.server.url, repo, revision, self.calm)
                self.users.all_leave(self.calm)
        self.stop()
        for repo in self.repos:
            for revision in repo.commits:
                self.machine.pull("--no-mirrors", f"{repo.name}@{revision}").ended(0)


STEPS: dict[str, tuple[int, Callable[[Day], str]]] = {
    "come": (45, Day.come),
    "leave": (18, Day.leave),
    "kill": (7, Day.kill),
    "trouble": (6, Day.trouble),
    "relief": (6, Day.relief),
    "power cut": (2, Day.power_cut),
    "restart": (2, Day.restart),
    "evict": (5, Day.evict),
    "prefetch": (3, Day.prefetch),
    "collect": (1, Day.collect),
    "pull": (3, Day.pull),
    "run": (2, Day.run_beside),
    "other program": (4, Day.other_program),
    "move": (1, Day.move),
}
"""The weight of each step, and what does it."""


@contextmanager
def a_day(machine: Machine, hub: LoopbackHub, draw: Random) -> Iterator[Day]:
    """A house with its Hub, which ends with the context, also in the middle of a day."""
    repos = tuple(hub.shelf.repos.values())
    hub.faces["cdn"].shape = LINE
    day = Day.begin(machine, hub, repos, draw)
    try:
        yield day
    except BaseException:
        print("\n".join(day.told))
        raise
    finally:
        day.users.close()


def models() -> tuple[Repo, ...]:
    """Models of two shards and a few small files; two have a shard in common."""
    first = tiny_model(1, shards=2, shard_size=MIB + MIB // 2)
    shared = {"model-00001-of-00002.safetensors": first["model-00001-of-00002.safetensors"]}
    return (
        Repo("model", "org/first", first),
        Repo("model", "org/second", tiny_model(2, shards=2, shard_size=3 * MIB)),
        Repo("model", "org/third", {**tiny_model(3, shards=1, shard_size=MIB), **shared}),
    )
