"""Random steps of several processes on one cache: pull, gc, hf download, link and import, whole or killed halfway.

Each step is the real command, or the real huggingface_hub, in a child of a worker; the workers go on at the same time
and meet after every round. Then no link and no ref may lead to nothing, no byte may be wrong, and the pinned model must
be whole. At the end every model is pulled again and `hf cache verify` agrees. `--torture` does 10,000 steps.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random
from threading import BrokenBarrierError
from typing import Any

import pytest

from orchestrator.cache import census
from orchestrator.cache.cache import HfCache
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.state_dir import open_state_dir
from tests.hub.content import git_blob_oid
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.kills import kill_at
from tests.machine.machine import Machine, content

SHARED = b"base weights " * 9000
MODELS = 4
PINNED = 3
"""No gc may take it."""
OURS = (0, 1)
"""gc names these. hf takes the others: a download of it does not expect that somebody takes away what it has."""
VERSIONS = 3
WORKERS = 3
STEP_S = 120
"""A step that takes longer hangs."""


def repos() -> list[Repo]:
    made = []
    for number in range(MODELS):
        repo = Repo("model", f"org/m{number}", {"config.json": b"{}", "base.safetensors": SHARED})
        for version in range(1, VERSIONS):
            changed = {"README.md": b"%d.%d" % (number, version), "sub/tune.safetensors": b"%d" % version * 20_000}
            repo.commit(changed)
        made.append(repo)
    return made


@dataclass(frozen=True)
class Table:
    """What all workers share. `content` is by commit, then by path."""

    env: dict[str, str]
    work: Path
    cache: Path
    url: str
    commits: list[list[str]]
    content: dict[str, dict[str, bytes]]


@dataclass
class Worker:
    """One of the processes; its choices come from the seed alone, their effect also from what the others do."""

    table: Table
    name: str
    random: Random

    def step(self) -> str:
        """Do one; returns what it was."""
        kinds: list[tuple[Callable[[], None], bool]] = [
            (self.pull, True),
            (self.gc, True),
            (self.hf_download, False),
            (self.link, True),
            (self.take, True),
        ]
        action, may_be_killed = self.random.choice(kinds)
        blow = self.random.randint(1, 120) if may_be_killed and self.random.random() < 0.4 else None
        self._in_a_child(action, blow)
        return action.__name__ + ("" if blow is None else f", killed at call {blow}")

    # -- the steps; each runs in a child

    def pull(self) -> None:
        number, commit = self._choose()
        with self._holding(number):
            self._command("pull", "--root", self.table.url, "--no-mirrors", f"org/m{number}@{commit}")
            snapshot = self.table.cache / f"models--org--m{number}" / "snapshots" / commit
            assert content(snapshot) == self.table.content[commit]

    def gc(self) -> None:
        named = [word for number in OURS if self.random.random() < 0.5 for word in ("--model", f"org/m{number}")]
        keep = self.random.choice([[], ["--keep-size", "0"], ["--older-than", "0s"]])
        self._command("cache", "gc", "--yes", *named, *keep, also=(66,))

    def hf_download(self) -> None:
        from huggingface_hub import snapshot_download

        number, commit = self._choose(range(len(OURS), MODELS))
        folder = Path(
            snapshot_download(
                f"org/m{number}", revision=commit, cache_dir=self.table.cache, endpoint=self.table.url, token=False
            )
        )
        assert content(folder) == self.table.content[commit]

    def link(self) -> None:
        """A second time over what a killed one left, too: the folder is the worker's and stays for a while."""
        number, commit = self._choose()
        folder = self.table.work / f"{self.name}-{number}-{commit[:4]}"
        mode = self.random.choice([[], ["--copy"], ["--hard"], ["--sym"]])
        with self._holding(number):
            words = ("cache", "link", f"org/m{number}@{commit}", str(folder), "--layout", "flat", *mode)
            if self._command(*words, also=(66,)) == 0:
                found = content(folder)
                said = json.loads(found.pop(".glm-aria/metadata.json"))
                # Not all of it, after a pull that was killed or an import of a part; what a killed link made, too.
                assert {file["path"] for file in said["files"]} <= found.keys()
                assert found.items() <= self.table.content[commit].items()
        if self.random.random() < 0.5:
            shutil.rmtree(folder, ignore_errors=True)

    def take(self) -> None:
        _, commit = self._choose()
        folder = self.table.work / f"usb-{self.name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for number, data in enumerate(self.table.content[commit].values()):
            if self.random.random() < 0.7:
                (folder / f"{number}.bin").write_bytes(data)
        # 3: one of the files is being fetched by another run at this moment.
        self._command("cache", "import", str(folder), *self.random.choice([[], ["--hard"]]), also=(3, 66))

    # -- how they are done

    def _choose(self, numbers: range = range(MODELS)) -> tuple[int, str]:
        number = self.random.choice(numbers)
        return number, self.random.choice(self.table.commits[number])

    @contextlib.contextmanager
    def _holding(self, number: int) -> Any:
        layout = CacheLayout.at(self.table.cache)
        cache = HfCache(layout, open_state_dir(layout))
        with cache.use() as use:
            use.hold([f"models--org--m{number}"])
            yield

    def _command(self, *words: str, also: tuple[int, ...] = ()) -> int:
        from orchestrator.cli.main import main

        code = main([*words, "--json"])
        assert code in (0, *also), f"{' '.join(words)} ended with {code}"
        return code

    def _in_a_child(self, action: Callable[[], None], blow: int | None) -> None:
        seed, said = self.random.getrandbits(32), self.table.work / f"{self.name}.txt"
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                self.random = Random(seed)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(STEP_S)
                output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(output, 1), os.dup2(output, 2)
                if blow is not None:
                    kill_at(blow)
                try:
                    action()
                    code = 0
                except BaseException:
                    os.write(2, traceback.format_exc().encode())
            os._exit(code)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code == 0 or (blow is not None and code == -signal.SIGKILL), (
            f"{action.__name__} ended with {code}: {said.read_text(errors='replace')[-6000:]}"
        )


def _work(table: Table, name: str, seed: str, rounds: int, steps: int, meeting: Barrier, failures: Any) -> None:
    os.environ.clear()
    os.environ.update(table.env)
    import huggingface_hub.file_download  # noqa: F401 - once for all children

    import orchestrator.cli.main  # noqa: F401

    worker, done = Worker(table, name, Random(f"{seed}/{name}")), list[str]()
    try:
        for _ in range(rounds):
            for _ in range(steps):
                done.append(worker.step())
            meeting.wait()  # all have ended their steps
            meeting.wait()  # the cache was looked at
    except BrokenBarrierError:
        pass
    except BaseException:
        failures.put(f"{name} after {done[-8:]}: {traceback.format_exc()}")
        meeting.abort()


def look_at(table: Table) -> None:
    """What must hold whenever nobody works."""
    layout = CacheLayout.at(table.cache)
    for repo in census.take(layout).repos:
        commits = {snapshot.commit for snapshot in repo.snapshots}
        assert not repo.has_bad_refs
        assert set(repo.refs.values()) <= commits, f"a ref of {repo.folder} names no snapshot"
        for snapshot in repo.snapshots:
            for path, name in snapshot.links.items():
                assert name in repo.blobs, f"{repo.folder}: {path} at {snapshot.commit} leads to nothing"
                found = (layout.snapshot(repo.repo, snapshot.commit) / path).read_bytes()
                assert found == table.content[snapshot.commit][path], f"{repo.folder}: {path} has wrong bytes"
        for blob in repo.blobs.values():
            if not blob.name.endswith(".incomplete"):
                data = blob.path.read_bytes()
                names = (hashlib.sha256(data).hexdigest(), git_blob_oid(data))
                assert blob.name in names, f"{blob.path} has wrong bytes"
    pinned = table.commits[PINNED][-1]
    assert content(table.cache / f"models--org--m{PINNED}" / "snapshots" / pinned) == table.content[pinned]


def test_steps_of_several_processes(
    machine: Machine, make_hub: MakeHub, seed: int, request: pytest.FixtureRequest
) -> None:
    rounds, steps = (167, 20) if request.config.getoption("--torture") else (2, 5)
    made = repos()
    hub = make_hub(*made)
    for number, words in ((PINNED, ["pull", "--root", hub.url]), (PINNED, ["cache", "pin"])):
        machine.run(*words, f"org/m{number}", "--json").ended(0)
    table = _table(machine, hub, made)
    context = multiprocessing.get_context("spawn")
    meeting, failures = context.Barrier(WORKERS + 1), context.Queue()
    workers = [
        context.Process(target=_work, args=(table, f"w{n}", str(seed), rounds, steps, meeting, failures))
        for n in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    try:
        for _ in range(rounds):
            try:
                meeting.wait(STEP_S * steps)
                look_at(table)
                meeting.wait()
            except BrokenBarrierError:
                raise AssertionError(failures.get(timeout=10)) from None
    finally:
        meeting.abort()
        for worker in workers:
            worker.join(STEP_S)
            worker.kill()
    for number, commits in enumerate(table.commits):
        for commit in commits:
            machine.run("pull", "--root", hub.url, f"org/m{number}@{commit}", "--json").ended(0)
            verified = machine.hf(
                "cache",
                "verify",
                f"org/m{number}",
                "--revision",
                commit,
                "--fail-on-missing-files",
                HF_ENDPOINT=hub.url,
            )
            assert verified.returncode == 0, verified.stdout + verified.stderr
    look_at(table)
    assert json.loads(machine.run("verify", "--json").ended(0).out)["data"]["files"], "there was something to verify"


def _table(machine: Machine, hub: LoopbackHub, made: list[Repo]) -> Table:
    commits = [list(repo.commits) for repo in made]
    everything = {commit: wanted(repo, commit) for repo, known in zip(made, commits, strict=True) for commit in known}
    env = machine.env | {"NO_PROXY": "*", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return Table(env, machine.work, machine.cache, hub.url, commits, everything)
