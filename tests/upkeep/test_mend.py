"""A rotten file gets its wrong pieces back from whoever sends the right ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache import census
from orchestrator.cache.cache import Cache
from orchestrator.cache.entries import entries_of
from orchestrator.core.sources import Source
from orchestrator.depot.mover import Mover
from orchestrator.errors import DaemonError, GlmAriaError, IntegrityError, SourcesDownError, TemporaryError
from orchestrator.proof.pieces import PIECE
from orchestrator.system.signals import Stop
from orchestrator.upkeep import mend as mending
from tests import plain
from tests.plain import MIRROR, OTHER, REPO, ROOT, SCOPE, Heard, PlainCatalog

BIG = {"big.safetensors": bytes(range(256)) * (3 * PIECE // 256)}
DATA = BIG["big.safetensors"]
BAD = ((PIECE, 2 * PIECE),)
Fetch = Callable[[Source, int, int], bytes]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    """A model whose second piece rotted, with its piece hashes."""
    with plain.cache(tmp_path) as made:
        model = plain.put(made, BIG)
        file = model.wanted.files[0]
        made.blobs.proofs.forget_all(REPO.folder)
        assert made.blobs.prove(REPO, file)
        with made.layout.blob(REPO, file.digest).open("r+b") as blob:
            blob.seek(PIECE)
            blob.write(b"rot")
        yield made


def right(_source: Source, start: int, end: int) -> bytes:
    return DATA[start:end]


class Run:
    def __init__(self, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache, self.heard, self.stop = cache, Heard(), Stop()
        self.asked: list[str] = []
        self.senders: dict[str, Fetch] = {}

        def fetch_range(_net: Any, source: Source, _origin: Any, start: int, end: int) -> bytes:
            self.asked.append(source.name)
            return self.senders.get(source.name, right)(source, start, end)

        monkeypatch.setattr(mending, "fetch_range", fetch_range)

    def mend(self, *listed: Source, ranges: Any = BAD) -> dict[str, int]:
        def no_daemon() -> Any:
            raise DaemonError("there is no aria2c")

        (entry,) = entries_of(census.take(self.cache.layout), self.cache.blobs, self.cache.records, (), ())
        return mending.mend(
            entry,
            ranges,
            sites=plain.sites(
                *(PlainCatalog(source, trees={plain.ONE: plain.tree_of(content=BIG)}) for source in listed)
            ),
            sources=plain.sources(*listed),
            cache=self.cache,
            mover=Mover(no_daemon),
            stop=self.stop,
            emit=self.heard,
        )

    @property
    def bytes(self) -> bytes:
        return (self.cache.layout.snapshot(REPO, plain.ONE) / "big.safetensors").read_bytes()


@pytest.fixture
def run(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(cache, monkeypatch)


def failing(error: GlmAriaError) -> Fetch:
    def fail(*_: object) -> bytes:
        raise error

    return fail


def test_only_the_wrong_piece_is_fetched_and_the_whole_is_proven_again(run: Run) -> None:
    assert run.mend(ROOT) == {"root": PIECE}
    assert run.bytes == DATA
    digest = plain.file_of("big.safetensors", DATA).digest
    assert run.cache.blobs.proofs.is_proven(REPO.folder, digest, run.cache.layout.blob(REPO, digest).stat())


def test_a_source_that_lies_or_fails_is_passed_over_for_good(run: Run) -> None:
    run.senders = {"root": failing(SourcesDownError("down")), "mirror": lambda _s, start, end: bytes(end - start)}
    assert run.mend(ROOT, MIRROR, OTHER, ranges=((0, 2 * PIECE),)) == {"mirror": PIECE, "other": 2 * PIECE}
    assert run.asked == ["root", "mirror", "other", "other"]
    assert run.heard.codes == ["mirror-lied"]
    assert run.bytes == DATA


def test_without_a_right_source_the_old_file_stays(run: Run) -> None:
    before = run.bytes
    run.senders = {"root": lambda _s, start, end: bytes(end - start)}
    with pytest.raises(IntegrityError, match="the file was not changed"):
        run.mend(ROOT)
    assert run.bytes == before
    assert list(run.cache.staging.folder.iterdir()) == []


def test_the_first_reason_is_told_where_nobody_lied(run: Run) -> None:
    run.senders = {"root": failing(SourcesDownError("down")), "mirror": failing(TemporaryError("busy"))}
    with pytest.raises(SourcesDownError, match="down"):
        run.mend(ROOT, MIRROR)


def test_a_catalog_of_another_kind_has_no_such_path(run: Run) -> None:
    run.mend(ROOT, SCOPE)
    assert run.asked == ["root"]


def test_a_file_that_another_run_works_on_is_left_to_it(run: Run) -> None:
    with plain.cache(run.cache.layout.cache_dir.parent) as other:
        claim = other.staging.claim(plain.file_of("big.safetensors", DATA).digest)
        assert claim is not None
        with pytest.raises(TemporaryError, match="another run is using"):
            run.mend(ROOT)
        claim.release()


def test_without_piece_hashes_all_of_it_is_pulled_again(run: Run) -> None:
    run.cache.blobs.pieces.forget(plain.file_of("big.safetensors", DATA).digest)
    with pytest.raises(DaemonError):
        run.mend(ROOT)
    assert run.asked == []


def test_what_no_model_needs_is_for_gc(run: Run) -> None:
    (entry,) = entries_of(census.take(run.cache.layout), run.cache.blobs, run.cache.records, (), ())
    entry.names.clear()
    with pytest.raises(IntegrityError, match="no model uses it") as caught:
        mending.mend(
            entry, BAD, sites=plain.sites(PlainCatalog()), sources=plain.sources(ROOT), cache=run.cache,
            mover=Mover(lambda: pytest.fail("nothing is fetched")), stop=run.stop, emit=run.heard,
        )  # fmt: skip
    assert caught.value.hint == "glm-aria cache gc"
