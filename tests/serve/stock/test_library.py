"""What a face is told: which commit a branch is, for how long that holds, and where proven files go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.cache.inventory import read_ref
from orchestrator.cache.records import Record
from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.plan import Have
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.core.trust import Level, Policy, Trust
from orchestrator.depot.elsewhere import Elsewhere
from orchestrator.errors import GlmAriaError, NotAllowedError, NotFoundError, SourcesDownError
from orchestrator.proof.verified import VerifiedFile, verify
from orchestrator.serve.stock import library as library_
from orchestrator.serve.stock.library import FRESH, Library
from orchestrator.serve.stock.shelves import Shelves
from tests import plain
from tests.plain import FILES, ONE, REPO, ROOT, TWO, Clock, Heard, PlainCatalog, tree_of

OTHER = RepoId(RepoType.MODEL, "org/other")
NEW = FILES | {"config.json": b'{"new": 1}'}
DOWN = SourcesDownError("root does not answer")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


class House:
    """A library over a cache and a root, and what it told."""

    def __init__(self, cache: Cache, **given: Any) -> None:
        self.cache = cache
        self.root = PlainCatalog(trees={ONE: tree_of(), TWO: tree_of(TWO, NEW)})
        self.clock = Clock()
        self.heard = Heard()
        sites = plain.sites(self.root)
        self.shelves = Shelves(cache, Elsewhere(sites, self.heard), self.heard)
        self.library = Library(
            sites,
            plain.sources(ROOT),
            cache,
            policy=Policy.AGREE,
            offline=given.pop("offline", False),
            emit=self.heard,
            clock=self.clock,
        )


@pytest.fixture
def house(cache: Cache) -> House:
    return House(cache)


def staged(cache: Cache, path: str, content: dict[str, bytes] = FILES) -> VerifiedFile:
    """A file that has arrived and is proven."""
    file = plain.file_of(path, content[path])
    part = cache.staging.part(file.digest)
    part.write_bytes(content[path])
    return verify(part, file.digest, file.size)


# -- what a ref stands for


def test_a_branch_is_asked_for_once_a_minute(house: House) -> None:
    assert house.library.resolve(plain.ref()).model.commit == ONE
    house.root.heads["main"] = TWO
    house.clock.now += FRESH - 1
    assert house.library.resolve(plain.ref()).model.commit == ONE
    house.clock.now += 2
    assert house.library.resolve(plain.ref()).model.commit == TWO
    assert house.root.asked.count("revision main") == 2


def test_a_commit_is_asked_for_once_and_by_no_other_server_either(house: House, cache: Cache) -> None:
    for _ in range(2):
        assert house.library.resolve(plain.ref(ONE)).model.commit == ONE
        house.clock.now += 1e6
    assert house.root.asked == [f"revision {ONE}", "tree 1111"]
    later = House(cache)
    assert not later.library.resolve(plain.ref(ONE)).is_stale
    assert later.root.asked == []


def test_without_the_root_the_last_answer_is_stale(house: House, cache: Cache) -> None:
    house.library.resolve(plain.ref())
    house.root.error = DOWN
    house.clock.now += FRESH + 1
    known = house.library.resolve(plain.ref())
    assert (known.model.commit, known.is_stale) == (ONE, True)
    assert house.heard.codes == ["stale"]
    # So is that of a server before this one.
    later = House(cache)
    later.root.error = DOWN
    assert later.library.resolve(plain.ref()).is_stale
    with pytest.raises(SourcesDownError):
        later.library.resolve(plain.ref(repo=OTHER))


def test_it_is_fresh_again_when_the_root_is_back(house: House) -> None:
    house.library.resolve(plain.ref())
    house.root.error = DOWN
    house.clock.now += FRESH + 1
    house.library.resolve(plain.ref())
    house.root.error = None
    house.clock.now += FRESH + 1
    assert not house.library.resolve(plain.ref()).is_stale


@pytest.mark.parametrize("error", [NotFoundError("none"), NotAllowedError("gated")])
def test_refusals_are_the_roots_word_and_are_not_remembered(house: House, error: GlmAriaError) -> None:
    house.library.resolve(plain.ref())
    house.clock.now += FRESH + 1
    house.root.error = error
    for _ in range(2):
        with pytest.raises(type(error)):
            house.library.resolve(plain.ref())
    house.root.error = None
    assert house.library.resolve(plain.ref()).model.commit == ONE


def test_what_the_root_deleted_is_known_by_commit(house: House) -> None:
    house.library.resolve(plain.ref())
    house.root.error = NotFoundError("gone")
    assert house.library.resolve(plain.ref(ONE)).model.commit == ONE


def test_offline_asks_nobody(cache: Cache) -> None:
    plain.put(cache)
    house = House(cache, offline=True)
    assert house.library.resolve(plain.ref()).model.commit == ONE
    with pytest.raises(NotFoundError):
        house.library.resolve(plain.ref(repo=OTHER))
    with pytest.raises(NotFoundError):
        house.library.passed(plain.ref(), ("refs",), ())
    assert house.root.asked == []


def test_a_renamed_repo_says_its_name(house: House) -> None:
    assert house.library.resolve(plain.ref()).model.name_now is None
    house.root.name_now = "new/name"
    house.clock.now += FRESH + 1
    assert house.library.resolve(plain.ref()).model.name_now == "new/name"


# -- where proven files go


def test_a_file_goes_into_the_snapshot_that_asked_for_it(house: House, cache: Cache) -> None:
    model = house.library.resolve(plain.ref()).model
    file = model.tree.files[0]
    assert house.library.find(model, file).have is Have.NOTHING
    job = house.shelves.want(model, file)
    assert (job.digest, job.size, [origin.path for origin in job.origins]) == (file.digest, file.size, [file.path])
    assert house.shelves.place([staged(cache, file.path)]) == {}
    found = house.library.find(model, file)
    have, path = found.have, found.path
    assert have is Have.PLACED
    assert path is not None
    assert path.read_bytes() == FILES[file.path]
    assert (cache.blobs.snapshot(model) / file.path).read_bytes() == FILES[file.path]
    # The first of its commits: a reader of the cache finds it, and is told what is missing by the listing.
    assert read_ref(cache.layout, REPO, "main") == ONE
    assert cache.layout.tree_file(REPO, ONE).exists()


def test_a_blob_that_two_repos_want_is_placed_in_both(house: House, cache: Cache) -> None:
    models = [house.library.resolve(plain.ref(repo=repo)).model for repo in (REPO, OTHER)]
    file = models[0].tree.files[0]
    for model in models:
        house.shelves.want(model, file)
    assert house.shelves.place([staged(cache, file.path)]) == {}
    for model in models:
        assert house.library.find(model, file).have is Have.PLACED
        assert (cache.blobs.snapshot(model) / file.path).read_bytes() == FILES[file.path]


def test_what_lies_in_the_cache_by_then_is_linked_for_all_who_want_it(house: House, cache: Cache) -> None:
    """One model has it since another run placed it, the other is of another repo."""
    models = [house.library.resolve(plain.ref(repo=repo)).model for repo in (REPO, OTHER)]
    file = next(one for one in models[0].tree.files if one.path == "a.safetensors")
    jobs = [house.shelves.want(model, file) for model in models]
    assert not house.shelves.is_placed(jobs[0])
    plain.put(cache)
    assert house.shelves.is_placed(jobs[0])
    assert house.shelves.place([], [file.digest]) == {}
    for model in models:
        assert house.library.find(model, file).have is Have.PLACED
        assert (cache.blobs.snapshot(model) / file.path).read_bytes() == FILES[file.path]


def test_what_only_another_repo_has_need_not_be_fetched(house: House, cache: Cache) -> None:
    plain.put(cache, repo=OTHER)
    model = house.library.resolve(plain.ref()).model
    assert house.shelves.is_placed(house.shelves.want(model, model.tree.files[0]))


def test_a_branch_of_the_cache_moves_when_the_new_commit_is_whole(house: House, cache: Cache) -> None:
    """Who reads the cache is not left with a model of one file."""
    plain.put(cache)
    house.root.heads["main"] = TWO
    model = house.library.resolve(plain.ref()).model
    files = {file.path: file for file in model.tree.files}
    assert house.library.find(model, files["a.safetensors"]).have is Have.PLACED
    house.shelves.want(model, files["config.json"])
    house.shelves.place([staged(cache, "config.json", NEW)])
    assert read_ref(cache.layout, REPO, "main") == TWO
    assert all((cache.blobs.snapshot(model) / path).read_bytes() == data for path, data in NEW.items())


def test_a_branch_stays_while_the_new_commit_is_not_whole(house: House, cache: Cache) -> None:
    plain.put(cache)
    more = NEW | {"more.safetensors": b"m" * 100}
    house.root.heads["main"] = TWO
    house.root.trees[TWO] = tree_of(TWO, more)
    model = house.library.resolve(plain.ref()).model
    house.shelves.want(model, next(file for file in model.tree.files if file.path == "config.json"))
    house.shelves.place([staged(cache, "config.json", NEW)])
    assert read_ref(cache.layout, REPO, "main") == ONE


def test_a_branch_of_another_catalog_is_no_ref_of_the_cache(house: House, cache: Cache) -> None:
    """Who reads the cache looks for the Hub's model of that name."""
    model = replace(house.library.resolve(plain.ref()).model, ref=plain.ref(kind=MODELSCOPE))
    file = model.tree.files[0]
    house.shelves.want(model, file)
    assert house.shelves.place([staged(cache, file.path)]) == {}
    assert (cache.blobs.snapshot(model) / file.path).read_bytes() == FILES[file.path]
    assert cache.layout.tree_file(REPO, ONE).exists()
    assert read_ref(cache.layout, REPO, "main") is None


def test_a_file_that_cannot_be_placed_is_told(house: House, cache: Cache) -> None:
    model = house.library.resolve(plain.ref()).model
    file = model.tree.files[0]
    house.shelves.want(model, file)
    verified = staged(cache, file.path)
    verified.path.write_bytes(b"other bytes since")
    failed = house.shelves.place([verified])
    assert [*failed] == [file.digest]


def test_what_lies_in_another_repo_is_served_from_there(house: House, cache: Cache) -> None:
    plain.put(cache, repo=OTHER)
    model = house.library.resolve(plain.ref()).model
    found = house.library.find(model, model.tree.files[0])
    have, path = found.have, found.path
    assert have is Have.ELSEWHERE
    assert path is not None
    assert path.is_file()


@pytest.mark.parametrize("known", ["closed", "closed since", "not at all", "open"])
def test_a_closed_repo_lends_nothing_to_others(known: str, house: House, cache: Cache) -> None:
    """Whoever can have its digest listed under a name of his own would read it there."""
    plain.put(cache, repo=OTHER)
    cache.records.forget_all(OTHER)
    trust = Trust(Level.ROOT, ROOT.url)
    if known != "not at all":
        cache.records.save(OTHER, Record(tree_of(), trust, is_restricted=known == "closed"))
    if known == "closed since":
        assert cache.records.is_open(OTHER.folder)
        cache.records.save(OTHER, Record(tree_of(TWO, NEW), trust, is_restricted=True))
    cache.blobs.lends = cache.records.is_open
    model = house.library.resolve(plain.ref()).model
    found = house.library.find(model, model.tree.files[0])
    assert (found.have is Have.ELSEWHERE) == (known == "open")


def test_what_another_program_put_there_is_proven_or_removed(house: House, cache: Cache) -> None:
    plain.put_unproven(cache, {"a.safetensors": b"x" * 1000, "sub/b.safetensors": FILES["sub/b.safetensors"]})
    model = house.library.resolve(plain.ref()).model
    files = {file.path: file for file in model.tree.files}
    assert house.library.prove(model, files["sub/b.safetensors"])
    assert not house.library.prove(model, files["a.safetensors"])
    assert house.library.find(model, files["sub/b.safetensors"]).have is Have.PLACED
    assert house.library.find(model, files["a.safetensors"]).have is Have.NOTHING


def test_listings_of_what_is_not_in_the_cache_do_not_fill_the_disk(
    monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    monkeypatch.setattr(library_, "_MOST_NOTED", 2 * (1 + len(FILES)))
    house = House(cache)
    names = [RepoId(RepoType.MODEL, f"org/r{number}") for number in range(5)]
    cache.layout.snapshot(names[0], ONE).mkdir(parents=True)
    for name in names:
        house.library.resolve(Ref(name, "main"))
    assert {repo for repo, _ in cache.records.commits()} == {names[0], *names[-2:]}
    # It is asked for again.
    house.clock.now += FRESH
    assert house.library.resolve(Ref(names[1], "main")).model.commit == ONE
