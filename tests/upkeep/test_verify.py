"""What `verify` says of each file, and when it calls for a repair."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId, RepoType, Target
from orchestrator.errors import IntegrityError, NotFoundError, SourcesDownError
from orchestrator.proof.pieces import PIECE
from orchestrator.system.signals import Stop
from orchestrator.upkeep.verify import Health, Mend, VerifyReport, VerifyRequest, verify
from tests import plain
from tests.plain import FILES, ONE, REPO, TWO, Heard

BIG = {"big.safetensors": bytes(range(256)) * (3 * PIECE // 256)}
OTHER_REPO = RepoId(RepoType.MODEL, "org/other")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


def check(
    cache: Cache,
    *targets: Target,
    mend: Mend | None = None,
    stop: Stop | None = None,
    heard: Heard | None = None,
    **given: Any,
) -> VerifyReport:
    return verify(VerifyRequest(targets, **given), cache, mend, stop=stop or Stop(), emit=heard or Heard())


def states(report: VerifyReport) -> dict[str, Health]:
    return {item.entry.label: item.state for item in report.files}


def digest_of(path: str, content: Mapping[str, bytes] = FILES) -> Digest:
    return plain.file_of(path, content[path]).digest


def spoil(cache: Cache, digest: Digest, at: int = 0, repo: RepoId = REPO) -> None:
    """One wrong byte, and no trace of it in the times."""
    blob = cache.layout.blob(repo, digest)
    before = blob.stat()
    with blob.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_is_right_is_ok(cache: Cache) -> None:
    plain.put(cache)
    heard = Heard()
    assert states(check(cache, heard=heard)) == dict.fromkeys(FILES, Health.OK)
    assert heard.codes == []


def test_rot_is_named_with_the_repair_and_is_proven_no_more(cache: Cache) -> None:
    plain.put(cache)
    digest = digest_of("a.safetensors")
    spoil(cache, digest)
    (bad,) = [item for item in check(cache).files if item.state is Health.ROTTEN]
    assert bad.entry.label == "a.safetensors"
    assert isinstance(bad.error, IntegrityError)
    assert bad.error.hint == "glm-aria verify org/m --repair"
    assert not cache.blobs.proofs.is_proven(REPO.folder, digest, cache.layout.blob(REPO, digest).stat())


def test_piece_hashes_say_where_it_rotted(cache: Cache) -> None:
    plain.put(cache, BIG)
    assert states(check(cache)) == {"big.safetensors": Health.OK}, "this makes the piece hashes"
    spoil(cache, digest_of("big.safetensors", BIG), at=PIECE + 5)
    for fast in (False, True):
        (bad,) = check(cache, fast=fast).files
        assert (bad.state, bad.ranges, bad.is_fast) == (Health.ROTTEN, ((PIECE, 2 * PIECE),), fast)


@pytest.mark.parametrize("size", [0, 100, 4000])
def test_a_blob_of_another_size_is_rotten(cache: Cache, size: int) -> None:
    plain.put(cache)
    os.truncate(cache.layout.blob(REPO, digest_of("a.safetensors")), size)
    assert states(check(cache))["a.safetensors"] is Health.ROTTEN


def test_what_hf_put_there_is_proven_by_its_name(cache: Cache) -> None:
    plain.put(cache)
    cache.blobs.proofs.forget_all(REPO.folder)
    assert set(states(check(cache)).values()) == {Health.OK}
    digest = digest_of("a.safetensors")
    assert cache.blobs.proofs.is_proven(REPO.folder, digest, cache.layout.blob(REPO, digest).stat())


def test_a_lost_blob_is_missing_and_says_what_to_type(cache: Cache) -> None:
    plain.put(cache)
    cache.layout.blob(REPO, digest_of("config.json")).unlink()
    (lost,) = [item for item in check(cache).files if item.state is Health.MISSING]
    assert isinstance(lost.error, NotFoundError)
    assert lost.error.hint == f"glm-aria pull org/m@{ONE}"


def test_a_file_whose_digest_nobody_told_is_unproven(cache: Cache) -> None:
    plain.put(cache)
    odd = cache.layout.repo_dir(REPO) / "blobs" / "no-digest"
    odd.write_bytes(b"x")
    heard = Heard()
    assert states(check(cache, heard=heard))["no-digest"] is Health.UNPROVEN
    assert heard.codes == ["unproven"]


def test_what_to_verify_can_be_chosen(cache: Cache) -> None:
    plain.put(cache)
    plain.put(cache, {"config.json": b"[]"}, commit=TWO, revision="dev")
    plain.put(cache, {"other.json": b"7"}, repo=OTHER_REPO)
    assert set(states(check(cache, Target(REPO, "dev")))) == {"config.json"}
    assert set(states(check(cache, Target(OTHER_REPO)))) == {"other.json"}
    assert set(states(check(cache, Target(REPO), globs=("*.safetensors",)))) == {"a.safetensors", "sub/b.safetensors"}
    for target in (Target(RepoId(RepoType.MODEL, "org/nowhere")), Target(REPO, "v9")):
        with pytest.raises(NotFoundError, match="is not in the cache"):
            check(cache, target)
    with pytest.raises(NotFoundError, match="no file in the cache matches"):
        check(cache, globs=("*.bin",))


def test_a_blob_that_two_models_share_is_read_once(cache: Cache) -> None:
    plain.put(cache)
    model = plain.model_of(repo=OTHER_REPO)
    cache.blobs.link(OTHER_REPO, ONE, [(file, cache.layout.blob(REPO, file.digest)) for file in model.wanted.files])
    cache.blobs.publish(model)
    assert len(check(cache).files) == len(FILES)


# -- repair


def test_only_what_is_rotten_is_repaired(cache: Cache) -> None:
    plain.put(cache)
    spoil(cache, digest_of("a.safetensors"))
    cache.layout.blob(REPO, digest_of("config.json")).unlink()
    called: list[str] = []

    def mend(entry: Any, _ranges: Any) -> dict[str, int]:
        called.append(entry.label)
        return {"mirror": 7}

    report = check(cache, mend=mend)
    assert called == ["a.safetensors"]
    assert states(report)["a.safetensors"] is Health.REPAIRED
    assert next(item.sources for item in report.files if item.state is Health.REPAIRED) == {"mirror": 7}


def test_a_repair_that_fails_leaves_it_rotten_with_the_reason(cache: Cache) -> None:
    plain.put(cache)
    for path in ("a.safetensors", "sub/b.safetensors"):
        spoil(cache, digest_of(path))

    def mend(entry: Any, _ranges: Any) -> dict[str, int]:
        raise SourcesDownError("nobody answers")

    bad = [item for item in check(cache, mend=mend).files if item.state is Health.ROTTEN]
    assert len(bad) == 2, "one that fails does not keep the next from its try"
    assert all(isinstance(item.error, SourcesDownError) for item in bad)


def test_a_stopped_verify_says_what_it_saw(cache: Cache) -> None:
    plain.put(cache)
    stop = Stop()
    stop.set()
    report = check(cache, stop=stop)
    assert report.interrupted == stop.signal_number
    assert Health.ROTTEN not in states(report).values()
