"""Random steps on one cache: pulls, killed pulls, hf downloads, gc, killed gc, rm, rot, verify and pins, in any order.

After every step no link and no ref leads to nothing, no byte is wrong that a step did not spoil on purpose, and pinned
models are whole. At the end the real huggingface_hub agrees. A step that is killed runs in a child that kills itself
at a chosen system call. `--torture` does 10,000 steps.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import _tree_cache, snapshot_download
from huggingface_hub.utils.tqdm import disable_progress_bars
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from orchestrator.cache import census
from orchestrator.cache.records import Record, Records
from orchestrator.cache.retention.pins import Pins
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import Target
from orchestrator.proof.checkup import check
from orchestrator.upkeep.garbage import Rules, choose
from orchestrator.upkeep.sweep import sweep
from tests.cache.world import World, hf_offline, hf_scan, model_of
from tests.hub.content import blob_names
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.kills import kill_at

SHARED = b"base weights " * 700
CONTENTS = [
    [
        {"config.json": b"{}", "base.safetensors": SHARED, "README.md": b"%d.%d" % (number, version)}
        | ({"extra/tune.safetensors": b"tuned %d" % version * 300} if version else {})
        for version in range(3)
    ]
    for number in range(3)
]


class Hub:
    """The models on a loopback Hub for `hf`; the commits that it makes are those of all pulls."""

    def __init__(self) -> None:
        self.repos = [Repo("model", f"org/m{number}", versions[0]) for number, versions in enumerate(CONTENTS)]
        self.commits = [[repo.head] for repo in self.repos]
        for repo, versions, commits in zip(self.repos, CONTENTS, self.commits, strict=True):
            for version in versions[1:]:
                repo.commit({path: data for path, data in version.items() if path not in ("config.json",)})
                commits.append(repo.head)
        self.loopback = LoopbackHub(self.repos)

    def __enter__(self) -> Hub:
        self.loopback.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.loopback.__exit__(*exc)


def killed_at(step: int, action: Callable[[], None]) -> None:
    """Run `action` in a child that gets SIGKILL at its `step`-th call that could change the disk."""
    child = os.fork()
    if child == 0:
        kill_at(step)
        with contextlib.suppress(BaseException):
            action()
        os._exit(0)
    os.waitpid(child, 0)


class Cache(RuleBasedStateMachine):
    hub: Hub

    @initialize()
    def begin(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="torture-"))
        self.world = World(self.home)
        self.records, self.pins = Records(self.world.state), Pins(self.world.layout, self.world.state)
        self.rotten: set[str] = set()
        self.whole: dict[Target, ResolvedModel] = {}

    def teardown(self) -> None:
        if not hasattr(self, "home"):
            return
        try:
            self._verify()
            for number in range(len(CONTENTS)):
                self._pull(number, 2)
                model, content = self._model(number, 2)
                assert hf_offline(self.world, model) == content
            assert hf_scan(self.world) == []
        finally:
            shutil.rmtree(self.home)

    # -- steps

    models = st.integers(0, len(CONTENTS) - 1)
    versions = st.integers(0, 2)

    @rule(number=models, version=versions)
    def pull(self, number: int, version: int) -> None:
        self._pull(number, version)
        model, content = self._model(number, version)
        assert {path: self._read(model, path) for path in content} == content

    @rule(number=models, version=versions, step=st.integers(1, 60))
    def kill_a_pull(self, number: int, version: int, step: int) -> None:
        killed_at(step, lambda: self._pull(number, version))

    @rule(number=models, version=versions)
    def hf_download(self, number: int, version: int) -> None:
        _tree_cache._IN_MEMORY_TREE_CACHE.clear()
        snapshot_download(
            f"org/m{number}",
            revision=self.hub.commits[number][version] if version < 2 else "main",
            cache_dir=self.world.layout.cache_dir,
            endpoint=self.hub.loopback.url,
            token=False,
        )

    @rule(
        hours=st.sampled_from([0, 1]),
        days=st.sampled_from([None, 0, 30]),
        keep=st.sampled_from([None, 0, 9000, 20_000]),
        named=st.none() | models,
    )
    def gc(self, hours: int, days: int | None, keep: int | None, named: int | None) -> None:
        self._gc(self._rules(hours, days, keep, named))

    @rule(keep=st.sampled_from([None, 0, 9000]), named=st.none() | models, step=st.integers(1, 60))
    def kill_a_gc(self, keep: int | None, named: int | None, step: int) -> None:
        rules = self._rules(1, None, keep, named)
        killed_at(step, lambda: self._gc(rules))

    @rule(number=models, version=st.none() | versions)
    def pin(self, number: int, version: int | None) -> None:
        """Only what is there and right is worth a promise."""
        commit = self.hub.commits[number][2 if version is None else version]
        model, _ = self._model(number, 2 if version is None else version)
        target = Target(model.ref.repo, None if version is None else commit)
        if self.world.layout.snapshot(model.ref.repo, commit).is_dir() and self.world.cache.is_complete(model):
            self.pins.add([target])
            self.whole[target] = model

    @rule()
    def unpin(self) -> None:
        self.pins.remove(self.pins.load())
        self.whole.clear()

    @rule(data=st.data())
    def rot(self, data: st.DataObject) -> None:
        blobs = sorted(self._blobs())
        if blobs and not self.whole:
            blob = Path(data.draw(st.sampled_from(blobs)))
            found = blob.stat()
            if found.st_size:
                content = bytearray(blob.read_bytes())
                content[0] ^= 1
                blob.write_bytes(content)
                os.utime(blob, ns=(found.st_atime_ns, found.st_mtime_ns))
                self.rotten.add(blob.name)

    @rule()
    def verify(self) -> None:
        self._verify()

    # -- what must hold after each of them

    @invariant()
    def no_link_leads_to_nothing(self) -> None:
        for repo in census.take(self.world.layout).repos:
            commits = {snapshot.commit for snapshot in repo.snapshots}
            assert set(repo.refs.values()) <= commits, f"a ref of {repo.folder} names no snapshot"
            assert not repo.has_bad_refs
            for snapshot in repo.snapshots:
                for path, name in snapshot.links.items():
                    assert name in repo.blobs, f"{repo.folder}: {path} at {snapshot.commit} leads to nothing"

    @invariant()
    def no_byte_is_wrong(self) -> None:
        for blob in self._blobs():
            path = Path(blob)
            is_right = path.name in blob_names(path.read_bytes())
            assert is_right or path.name in self.rotten, f"{blob} has wrong bytes"

    @invariant()
    def pinned_models_are_whole(self) -> None:
        for model in self.whole.values():
            for file in model.wanted.files:
                assert (self.world.layout.snapshot(model.ref.repo, model.commit) / file.path).exists(), file.path

    # -- how they are done

    def _model(self, number: int, version: int) -> tuple[ResolvedModel, dict[str, bytes]]:
        content = CONTENTS[number][version]
        merged = {path: data for known in CONTENTS[number][: version + 1] for path, data in known.items()}
        assert merged == content
        commit = self.hub.commits[number][version]
        return model_of(content, name=f"org/m{number}", commit=commit), content

    def _pull(self, number: int, version: int) -> None:
        model, content = self._model(number, version)
        with self.world.cache.use() as use:
            use.hold([model.ref.repo.folder])
            self.world.pull(model, content)
            self.records.save(model.ref.repo, Record(model.tree, model.trust))

    def _read(self, model: ResolvedModel, path: str) -> bytes:
        """As it would be without the rot that nobody has found yet: a pull believes a blob whose stat is unchanged."""
        link = self.world.layout.snapshot(model.ref.repo, model.commit) / path
        data = bytearray(link.read_bytes())
        if link.resolve().name in self.rotten:
            right = next(file for file in model.tree.files if file.path == path).digest.hex
            for flipped in (bytes(data), bytes([data[0] ^ 1]) + bytes(data[1:])):
                if right in blob_names(flipped):
                    return flipped
        return bytes(data)

    def _rules(self, hours: int, days: int | None, keep: int | None, named: int | None) -> Rules:
        targets = () if named is None else (Target(self._model(named, 0)[0].ref.repo),)
        older = None if days is None else days * 86400.0
        return Rules(time.time() + hours * 3600, older_than=older, keep_size=keep, targets=targets, litter=True)

    def _gc(self, rules: Rules) -> None:
        choice = choose(census.take(self.world.layout), self.pins.load(), rules)
        for folder in dict.fromkeys(item.folder for item in choice.garbage):
            mine = [item for item in choice.garbage if item.folder == folder]
            sweep(self.world.cache, self.records, self.pins, folder, mine)

    def _verify(self) -> None:
        """Find all rot, and what is rotten is forgotten, as `glm-aria verify` does; the next pull fetches it."""
        for repo in census.take(self.world.layout).repos:
            for blob in repo.blobs.values():
                digest = census.digest_of(blob.name)
                if digest is None:
                    continue
                found = check(blob.real, digest, None, self.world.cache.pieces)
                assert bool(found.ranges) is (blob.name not in blob_names(blob.path.read_bytes()))
                if found.ranges:
                    self.world.cache.remove_blob(repo.repo, digest, found.found)
        self.rotten.clear()

    def _blobs(self) -> Iterator[str]:
        for repo in census.take(self.world.layout).repos:
            for blob in repo.blobs.values():
                if not blob.name.endswith(".incomplete"):
                    yield str(blob.path)


def test_random_steps_leave_a_right_cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    disable_progress_bars()
    is_long = request.config.getoption("--torture")
    number = int(os.environ.get("TORTURE_SEED") or time.time_ns() % 1_000_000)
    print(f"the seed of these steps: TORTURE_SEED={number}")
    with Hub() as hub:
        steps = type("Steps", (Cache,), {"hub": hub})
        rules = settings(
            max_examples=100 if is_long else 4,
            stateful_step_count=100 if is_long else 25,
            database=None,
            phases=[Phase.generate, Phase.shrink] if is_long else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(seed(number)(steps), settings=rules)


def test_gc_beside_pulls_and_hf(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything may go at any moment, but nothing that a pull counts on while it works."""
    monkeypatch.setenv("NO_PROXY", "*")
    disable_progress_bars()
    seconds = 60.0 if request.config.getoption("--torture") else 3.0
    world, pins = World(tmp_path), Pins(World(tmp_path).layout, World(tmp_path).state)
    ended, failures = threading.Event(), []
    counts = {"pull": 0, "hf": 0, "gone": 0}
    stage = threading.Lock()  # instead of claims, which `World.pull` does without

    def pulls(number: int, hub: Hub) -> None:
        mine = World(tmp_path)
        content = CONTENTS[number][2]
        model = model_of(content, name=f"org/m{number}", commit=hub.commits[number][2])
        snapshot = mine.layout.snapshot(model.ref.repo, model.commit)
        while not ended.is_set():
            with stage, mine.cache.use() as use:
                use.hold([model.ref.repo.folder])
                while use.hold(item.path.parts[-3] for item in mine.find(model).values() if item.path is not None):
                    pass
                mine.pull(model, content)
                assert {path: (snapshot / path).read_bytes() for path in content} == content
            counts["pull"] += 1

    def downloads(number: int, hub: Hub) -> None:
        while not ended.is_set():
            _tree_cache._IN_MEMORY_TREE_CACHE.clear()
            snapshot_download(
                f"org/m{number}", cache_dir=world.layout.cache_dir, endpoint=hub.loopback.url, token=False
            )
            counts["hf"] += 1

    def guarded(work: Callable[[int, Hub], None], number: int, hub: Hub) -> None:
        try:
            work(number, hub)
        except BaseException as error:
            failures.append(error)
            ended.set()

    with Hub() as hub:
        workers = [threading.Thread(target=guarded, args=(pulls, number, hub)) for number in (0, 1)]
        workers += [threading.Thread(target=guarded, args=(downloads, 2, hub))]
        for worker in workers:
            worker.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not ended.is_set():
            # The repos of our pulls may go at any moment. Of hf's, only litter: it does not expect its refs to vanish.
            mine = tuple(Target(model_of(name=f"org/m{number}").ref.repo) for number in (0, 1))
            rules = Rules(time.time() + 3600, targets=mine, litter=True)
            choice = choose(census.take(world.layout), pins.load(), rules)
            for folder in dict.fromkeys(item.folder for item in choice.garbage):
                found = [item for item in choice.garbage if item.folder == folder]
                counts["gone"] += len(sweep(world.cache, Records(world.state), pins, folder, found).gone)
        ended.set()
        for worker in workers:
            worker.join(30)
    assert failures == []
    assert min(counts.values()) > 0, counts
    for repo in census.take(world.layout).repos:
        for snapshot in repo.snapshots:
            assert set(snapshot.links.values()) <= repo.blobs.keys()
