"""A change that breaks off anywhere, by a crash or by an error, is made with its event, or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from orchestrator.core.refs import RepoId
from orchestrator.errors import DiskIOError, GlmAriaError
from orchestrator.registry.audit import Deed, Trail
from orchestrator.registry.core import Registry
from orchestrator.registry.ledger import Ledgers
from orchestrator.registry.names import model_named
from orchestrator.registry.storage import Storage
from orchestrator.registry.versions import Version
from orchestrator.rights import Role
from tests.oci.manifests import model_pack
from tests.oci.pushing import push_files
from tests.registry.shop import ADMIN, Shop, somebody

ONE, TWO = ({"config.json": b"{}", "model.safetensors": text} for text in (b"one", b"two"))
READER, PROMOTER = somebody(Role.READER), somebody(Role.PROMOTER)
V1, V2 = map(Version.parse, ("1.0.0", "2.0.0"))
STEPS = (Ledgers.write, Trail.add, Storage.point)
"""All that writes something."""


class Crash(BaseException):
    """The end of the process, as far as the next one can tell."""


class Broken:
    """The steps of a change, of which one does not come to its end, or not to its beginning."""

    def __init__(self, at: int, error: BaseException, *, after: bool) -> None:
        self.left = at
        self.error = error
        self.after = after
        self.happened = ""

    def wrap(self, step: Callable[..., object]) -> Callable[..., object]:
        def run(*words: object, **named: object) -> object:
            self.left -= 1
            if self.left == 0:
                self.happened = step.__qualname__
                if self.after:
                    step(*words, **named)
                raise self.error
            return step(*words, **named)

        return run

    @contextmanager
    def applied(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for step in STEPS:
                owner = {"Ledgers": Ledgers, "Trail": Trail, "Storage": Storage}[step.__qualname__.partition(".")[0]]
                patch.setattr(owner, step.__name__, self.wrap(step))
            yield


def published(shop: Shop, model: RepoId) -> Callable[[Registry], object]:
    digest = shop.upload(ADMIN, TWO, model)
    return lambda registry: registry.publish(ADMIN, model, V2, digest)


def moved(shop: Shop, model: RepoId) -> Callable[[Registry], object]:
    digest = shop.publish("2.0.0", TWO, model=model)
    one = shop.registry().move(PROMOTER, model, "prod", "1.0.0", "").digest
    assert one != digest
    return lambda registry: registry.move(PROMOTER, model, "prod", "2.0.0", one)


def removed(shop: Shop, model: RepoId) -> Callable[[Registry], object]:
    one = shop.registry().move(PROMOTER, model, "prod", "1.0.0", "").digest
    return lambda registry: registry.remove(PROMOTER, model, "prod", one)


def adopted(shop: Shop, model: RepoId) -> Callable[[Registry], object]:
    push_files(shop.root(model.name), "2.0.0", model_pack(TWO), TWO)
    push_files(shop.root(model.name), "stable", model_pack(TWO), TWO)
    return lambda registry: registry.ledger(READER, model)


CHANGES = {"publish": published, "move": moved, "remove": removed, "adopt": adopted}


def by_ledger(shop: Shop, model: RepoId) -> dict[str, str]:
    """What each name stands for, to who reads."""
    ledger = shop.registry().known(READER, model)
    aliases = {name: alias.digest for name, alias in ledger.aliases.items() if alias.digest}
    return {str(version): edition.digest for version, edition in ledger.versions.items()} | aliases


def by_trail(shop: Shop, model: RepoId) -> dict[str, str]:
    """The same by what the trail tells."""
    found: dict[str, str] = {}
    for event in Trail(shop.folder).after(0):
        if event.model == model.name and event.deed is not Deed.SIGN:
            found[event.name] = event.after
    return {name: digest for name, digest in found.items() if digest}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", [Crash, DiskIOError])
def test_ledger_and_trail_say_the_same_wherever_a_change_breaks_off(
    shop: Shop, change: str, after: bool, kind: type[BaseException]
) -> None:
    points = []
    for at in range(1, 20):
        model = model_named(f"team/model-{secrets.token_hex(6)}")
        shop.publish("1.0.0", ONE, model=model)
        run = CHANGES[change](shop, model)
        before = by_ledger(shop, model)
        error = kind() if kind is Crash else kind("it broke")
        broken = Broken(at, error, after=after)
        is_told = False
        with broken.applied():
            try:
                run(shop.registry())
                is_told = True
            except (Crash, GlmAriaError):
                pass
        found = by_ledger(shop, model)
        assert found == by_trail(shop, model), (at, broken.happened)
        if not broken.happened:
            break
        points.append(broken.happened)
        if kind is not Crash:  # then nobody was told anything
            assert is_told == (found != before), (at, broken.happened)
        if found == before:
            run(shop.registry())
        after_all = by_ledger(shop, model)
        assert after_all == by_trail(shop, model) != before
        events = [
            (event.deed, event.name, event.after)
            for event in Trail(shop.folder).after(0)
            if event.model == model.name and event.deed is not Deed.RESTORE
        ]
        assert len(events) == len(set(events)), (at, broken.happened, events)
        # The tags follow as soon as somebody asks.
        for name, digest in after_all.items():
            assert shop.registry().resolve(READER, model, name).digest == digest
            assert str(shop.root(model.name).head(name)) == digest
    assert {"Ledgers.write", "Trail.add"} <= set(points)
