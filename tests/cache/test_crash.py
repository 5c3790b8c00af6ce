"""Killed between any two system calls: what readers see then is right, and the next run finishes the work."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.plan import Have
from orchestrator.disk import durability
from tests.cache.world import CONTENT, World, hf_offline, hf_scan, model_of

CALLS = ("replace", "rename", "symlink", "link", "mkdir", "unlink", "fsync", "chmod", "open", "write")


class Killed(BaseException):
    """What SIGKILL is for this test; nothing of ours may catch and survive it."""


class Killer:
    """Counts system calls that change something; from number `at` on each one raises, before or after its work.

    After the first, all raise: a killed process cleans up nothing.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *, after: bool) -> None:
        self.count = 0
        self.at = at
        self.after = after
        for name in CALLS:
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name), name))
        monkeypatch.setattr(durability, "_syncfs", lambda: self.wrap(lambda fd: 0, "syncfs"))

    def wrap(self, call: Callable[..., object], name: str) -> Callable[..., object]:
        def counted(*args: object, **options: object) -> object:
            if name == "open" and not (int(args[1]) & os.O_CREAT):  # type: ignore[call-overload]
                return call(*args, **options)
            self.count += 1
            if self.count > self.at or (self.count == self.at and not self.after):
                raise Killed
            result = call(*args, **options)
            if self.count == self.at:
                raise Killed
            return result

        return counted


def check_readers(world: World, *, before: bool) -> None:
    for warning in hf_scan(world):
        assert "Snapshots dir doesn't exist" in warning, warning
    snapshots = world.layout.repo_dir(model_of().ref.repo) / "snapshots"
    for path in snapshots.rglob("*"):
        assert not path.is_symlink() or path.exists(), f"{path} dangles"
        if path.is_file():
            parts = path.relative_to(snapshots).parts
            content = CONTENT if parts[0] == model_of().commit else OLD
            assert path.read_bytes() == content["/".join(parts[1:])]
    ref = world.layout.ref_file(model_of().ref.repo, "main")
    if ref.exists():
        assert len(ref.read_bytes()) == 40
        seen = hf_offline(world, model_of())
        assert seen in ([OLD, CONTENT] if before else [CONTENT])
    else:
        assert not before


OLD = CONTENT | {"config.json": b"old"}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("old", [False, True], ids=["first pull", "new commit"])
def test_killed_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool, old: bool) -> None:
    at = 0
    while True:
        at += 1
        home = tmp_path / str(at)
        world = World(home)
        model = model_of()
        if old:
            world.pull(model_of(OLD, commit="0" * 40), OLD)
        found = world.find(model)
        missing = [file for file in model.wanted.files if found[file.digest].have is Have.NOTHING]
        entries = world.entries(missing, CONTENT)
        with monkeypatch.context() as patch:
            killer = Killer(patch, at, after=after)
            try:
                world.cache.place(model.ref.repo, model.commit, entries)
                world.cache.expose(model.ref.repo, model.commit, model.wanted.files)
                world.cache.publish(model)
            except Killed:
                pass
            else:
                assert killer.count < at
                break
        check_readers(world, before=old)
        survivor = World(home)
        survivor.pull(model)
        assert survivor.cache.is_complete(model)
        assert hf_offline(survivor, model) == CONTENT
        assert hf_scan(survivor) == []
    assert at > (25 if old else 60)


@pytest.mark.parametrize("number", [28, 122, 5, 30], ids=["ENOSPC", "EDQUOT", "EIO", "EROFS"])
def test_an_error_at_any_step_is_typed_and_recovered_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    from orchestrator.errors import CannotCreateError, DiskIOError, NoSpaceError

    kind = {28: NoSpaceError, 122: NoSpaceError, 5: DiskIOError, 30: CannotCreateError}[number]
    content = {"config.json": b"{}", "sub/w.safetensors": b"w"}
    for at in range(1, 200):
        world, model = World(tmp_path / str(at)), model_of(content)
        entries = world.entries(model.wanted.files, content)
        count = 0

        def fail_once(call: Callable[..., object], name: str, at: int = at) -> Callable[..., object]:
            def counted(*args: object, **options: object) -> object:
                nonlocal count
                if name in ("unlink", "chmod") or (name == "open" and not (int(args[1]) & os.O_CREAT)):  # type: ignore[call-overload]
                    return call(*args, **options)
                count += 1
                if count == at:
                    raise OSError(number, os.strerror(number))
                return call(*args, **options)

            return counted

        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, fail_once(getattr(os, name), name))
            try:
                world.cache.place(model.ref.repo, model.commit, entries)
                world.cache.publish(model)
            except kind:
                pass
            if count < at:
                break
        survivor = World(tmp_path / str(at))
        survivor.pull(model, content)
        assert hf_offline(survivor, model) == content
    else:
        pytest.fail("never ran through")
