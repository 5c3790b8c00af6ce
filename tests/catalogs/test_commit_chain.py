"""The chain from a commit to its files: true ones are followed, and nothing else is."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest

from orchestrator.catalogs import commit_chain
from orchestrator.catalogs.commit_chain import SMALL, Chain, GitObject, Misfit, follow, misfit
from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree, lfs_pointer_oid
from orchestrator.errors import ProtocolError
from tests.hub.content import git_blob_oid
from tests.hub.repos import Commit, Repo

FILES = {
    "config.json": b"{}\n",
    "empty.txt": b"",
    "big.txt": b"b" * 1000,
    "w/model.safetensors": b"w" * 70_000,
    "w/deep/er.bin": b"deep",
    "w.txt": b"sorts before the folder w",
    "Grüße.txt": b"name",
}


@pytest.fixture
def commit() -> Commit:
    repo = Repo("model", "org/m", FILES)
    return repo.commits[repo.commit({"README.md": b"second"})]


def objects_of(commit: Commit) -> dict[str, GitObject]:
    """What a git server sends for the filter of the proof."""
    return {
        oid: GitObject(kind.decode(), body)
        for oid, kind, body in commit.objects()
        if kind != b"blob" or len(body) < SMALL
    }


def listing_of(commit: Commit) -> list[RepoFile]:
    return [
        RepoFile(
            file.path,
            file.size,
            Digest(Algorithm.SHA256, file.sha256) if file.sha256 else Digest(Algorithm.GIT_SHA1, file.oid),
            file.sha256 is not None,
            file.oid,
        )
        for file in commit.files.values()
    ]


def object_id(kind: str, body: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()


def made(*trees: bytes) -> tuple[str, dict[str, GitObject]]:
    """A commit over the last of these tree bodies, and its objects."""
    objects = {object_id("tree", body): GitObject("tree", body) for body in trees}
    text = f"tree {object_id('tree', trees[-1])}\nauthor x\n\nmessage\n".encode()
    oid = object_id("commit", text)
    return oid, objects | {oid: GitObject("commit", text)}


def entry(mode: str, name: bytes, oid: str) -> bytes:
    return mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid)


def test_a_true_chain_fits_a_true_listing(commit: Commit) -> None:
    chain = follow(commit.oid, objects_of(commit))
    assert chain.blobs == {path: file.oid for path, file in commit.files.items()}
    assert misfit(chain, RepoTree.checked(commit.oid, listing_of(commit))) is None


def test_nothing_can_be_altered_or_left_out(commit: Commit) -> None:
    objects = objects_of(commit)
    rng = random.Random(5)
    for oid, (kind, body) in objects.items():
        if kind == "blob":
            continue
        with pytest.raises(ProtocolError, match="missing"):
            follow(commit.oid, {name: found for name, found in objects.items() if name != oid})
        at = rng.randrange(len(body))
        bent = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        with pytest.raises(ProtocolError, match="another hash"):
            follow(commit.oid, objects | {oid: GitObject(kind, bent)})
        with pytest.raises(ProtocolError, match="missing"):
            follow(commit.oid, objects | {oid: GitObject("blob", body)})
    for oid, (kind, _) in objects.items():
        if kind == "blob":
            with pytest.raises(ProtocolError, match="another hash"):
                follow(commit.oid, objects | {oid: GitObject(kind, b"evil")})


def test_every_lie_of_a_listing_is_named(commit: Commit) -> None:
    chain = follow(commit.oid, objects_of(commit))
    true = {file.path: file for file in listing_of(commit)}
    evil = Digest(Algorithm.GIT_SHA1, "e" * 40)
    weights = true["w/model.safetensors"]
    pointer = Digest(Algorithm.GIT_SHA1, commit.files[weights.path].oid)
    lies = [
        ("config.json", None, "hides"),
        ("evil.py", RepoFile("evil.py", 4, evil, False), "adds"),
        ("config.json", RepoFile("config.json", 3, evil, False), "other bytes"),
        ("config.json", RepoFile("config.json", 4, true["config.json"].digest, False), "wrong size"),
        ("config.json", RepoFile("config.json", 300, true["config.json"].digest, False), "wrong size"),
        ("big.txt", RepoFile("big.txt", 10, true["big.txt"].digest, False), "does not prove"),
        (weights.path, RepoFile(weights.path, 70_000, Digest(Algorithm.SHA256, "e" * 64), True), "other bytes"),
        (weights.path, RepoFile(weights.path, 70_001, weights.digest, True), "other bytes"),
        (weights.path, RepoFile(weights.path, 135, pointer, False), "pointer"),
        (weights.path, RepoFile(weights.path, 70_000, pointer, False), "pointer"),
        # The true hash beside other bytes, and the other way round.
        (weights.path, replace(weights, digest=Digest(Algorithm.SHA256, "e" * 64)), "other bytes"),
        (weights.path, replace(weights, git_oid="e" * 40), "other bytes"),
    ]  # fmt: skip
    for path, lie, reason in lies:
        told = [file for file in true.values() if file.path != path] + ([lie] if lie else [])
        wrong = misfit(chain, RepoTree.checked(commit.oid, told))
        assert wrong is not None, (path, reason)
        assert wrong.path == path
        assert reason in wrong.reason


def test_a_pointer_that_is_held_back_does_not_help(commit: Commit) -> None:
    weights = commit.files["w/model.safetensors"]
    objects = {oid: found for oid, found in objects_of(commit).items() if oid != weights.oid}
    chain = follow(commit.oid, objects)
    true = listing_of(commit)
    assert misfit(chain, RepoTree.checked(commit.oid, true)) is None
    disguised = RepoFile(weights.path, len(weights.pointer), Digest(Algorithm.GIT_SHA1, weights.oid), False)
    told = [file for file in true if file.path != weights.path] + [disguised]
    wrong = misfit(chain, RepoTree.checked(commit.oid, told))
    assert wrong is not None
    assert wrong.path == weights.path


SHA = "3c" * 32
ODD_POINTERS = {
    "CRLF": f"version https://git-lfs.github.com/spec/v1\r\noid sha256:{SHA}\r\nsize 9\r\n",
    "no last newline": f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA}\nsize 9",
    "blank lines around": f"\n\nversion https://git-lfs.github.com/spec/v1\noid sha256:{SHA}\nsize 9\n\n",
    "hawser": f"version https://hawser.github.com/spec/v1\noid sha256:{SHA}\nsize 9\n",
    "git-media": f"version http://git-media.io/v/2\noid sha256:{SHA}\nsize 9\n",
    "extension": f"version https://git-lfs.github.com/spec/v1\next-0-f sha256:{SHA}\noid sha256:{SHA}\nsize 9\n",
}


@pytest.mark.parametrize("text", ODD_POINTERS.values(), ids=ODD_POINTERS)
def test_a_pointer_that_git_lfs_did_not_write_proves_its_bytes_all_the_same(text: str) -> None:
    oid = git_blob_oid(text.encode())
    chain = Chain("a" * 40, {"w.bin": oid}, {oid: text.encode()})

    def told(size: int = 9, sha256: str = SHA, git_oid: str | None = oid) -> Misfit | None:
        file = RepoFile("w.bin", size, Digest(Algorithm.SHA256, sha256), True, git_oid)
        return misfit(chain, RepoTree.checked("a" * 40, [file]))

    assert told() is None
    assert told(git_oid=None) is None
    for lie in (told(size=8), told(sha256="4d" * 32), told(git_oid=lfs_pointer_oid(SHA, 9))):
        assert lie is not None
        assert "other bytes" in lie.reason
    plain = RepoFile("w.bin", len(text), Digest(Algorithm.GIT_SHA1, oid), False, oid)
    disguised = misfit(chain, RepoTree.checked("a" * 40, [plain]))
    assert disguised is not None
    assert "pointer" in disguised.reason
    # Held back by whoever sent the objects, it proves nothing.
    unseen = replace(chain, small={})
    file = RepoFile("w.bin", 9, Digest(Algorithm.SHA256, SHA), True, oid)
    unproven = misfit(unseen, RepoTree.checked("a" * 40, [file]))
    assert unproven is not None
    assert "does not prove" in unproven.reason


def test_the_longest_pointer_is_small() -> None:
    size = 2**63 - 1
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize {size}\n".encode()
    assert len(text) < SMALL
    assert commit_chain._POINTER.fullmatch(text)


def test_a_tree_entry_is_read_by_its_mode() -> None:
    blob = "1" * 40
    oid, objects = made(
        entry("100755", b"run", blob)
        + entry("120000", b"link", blob)
        + entry("160000", b"sub", blob)
        + entry("100664", b"old", blob)
    )
    assert follow(oid, objects) == Chain(oid, {"run": blob, "link": blob, "old": blob}, {})


@pytest.mark.parametrize(
    "body",
    [
        b"100644 a",
        b"100644 a\0short",
        b"no-space\0" + bytes(20),
        b"100644 \0" + bytes(20),
        b"100644 a/b\0" + bytes(20),
        b"100644 \xff\0" + bytes(20),
        b"777 a\0" + bytes(20),
    ],
)
def test_a_malformed_tree_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        follow(*made(body))


def test_a_commit_without_a_tree() -> None:
    text = b"author x\n"
    oid = object_id("commit", text)
    with pytest.raises(ProtocolError, match="names no tree"):
        follow(oid, {oid: GitObject("commit", text)})


def test_few_objects_that_mean_many_paths_are_refused() -> None:
    """Each tree names the one below it ten times: ten objects, ten thousand million paths."""
    trees = [entry("100644", b"f", "1" * 40)]
    for _ in range(10):
        below = object_id("tree", trees[-1])
        trees.append(b"".join(entry("40000", b"%d" % number, below) for number in range(10)))
    with pytest.raises(ProtocolError, match="do not end"):
        follow(*made(*trees))


def test_a_deep_tree_is_refused() -> None:
    trees = [entry("100644", b"f", "1" * 40)]
    for _ in range(300):
        trees.append(entry("40000", b"d", object_id("tree", trees[-1])))
    with pytest.raises(ProtocolError, match="do not end"):
        follow(*made(*trees))
