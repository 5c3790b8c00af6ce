"""Our own files after whatever happened to them: a bad record, proof or listing counts as absent, and never raises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.cache.proofs import Proofs, stamp
from orchestrator.cache.records import Record, Records
from orchestrator.cache.trees import holds, render, tree_entries
from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.trust import Seen, Trust
from orchestrator.errors import GlmAriaError

REPO = RepoId(RepoType.MODEL, "org/m")
COMMIT = "c" * 40
SHA = Digest(Algorithm.SHA256, "a" * 64)
TREE = RepoTree.checked(COMMIT, [RepoFile("a/b.bin", 7, SHA, is_lfs=True), RepoFile("c", 0, SHA, is_lfs=True)])
RECORD = Record(TREE, Trust("root", "https://hub.example"))

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
per_example = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    for name in ("stage", "repos", "proofs"):
        (tmp_path / name).mkdir()
    return tmp_path


def mangled(value: Any, data: st.DataObject) -> Any:
    """`value` with something else in the place of one of its parts."""
    if isinstance(value, dict | list) and value and data.draw(st.integers(0, 4)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = data.draw(st.sampled_from(keys))
        copy = dict(value) if isinstance(value, dict) else list(value)
        copy[key] = mangled(value[key], data)
        return copy
    return data.draw(JSON)


def is_safe(record: Record | None) -> bool:
    """True for none, and for one that holds only what a listing from the network may hold."""
    if record is None:
        return True
    RepoTree.checked(record.tree.commit, record.tree.files)
    return all(type(file.size) is int and type(file.is_lfs) is bool for file in record.tree.files)


@per_example
@given(data=st.data())
def test_a_record_that_was_changed_is_safe_or_none(state: Path, data: st.DataObject) -> None:
    records = Records(state)
    records.save(REPO, RECORD)
    assert records.load(REPO, COMMIT) == RECORD
    path = state / "repos" / REPO.folder / f"{COMMIT}.json"
    path.write_text(json.dumps(mangled(json.loads(path.read_text()), data)))
    assert is_safe(records.load(REPO, COMMIT))
    records.save(REPO, RECORD)
    assert records.load(REPO, COMMIT) == RECORD


@pytest.mark.parametrize(
    ("part", "value"),
    [(0, None), (0, 7), (1, float("inf")), (1, float("nan")), (1, True), (1, "7"), (1, -1), (2, None), (2, "sha256:x"),
     (3, 1), (4, []), (4, "../x")],
)  # fmt: skip
def test_a_record_with_an_odd_part_counts_as_none(state: Path, part: int, value: object) -> None:
    records = Records(state)
    records.save(REPO, RECORD)
    path = state / "repos" / REPO.folder / f"{COMMIT}.json"
    data = json.loads(path.read_text())
    data["files"][0][part] = value
    path.write_text(json.dumps(data))
    assert records.load(REPO, COMMIT) is None


@pytest.mark.parametrize("value", [float("inf"), float("nan"), None, "x", [1], 10**400])
def test_a_proof_with_an_odd_part_proves_nothing(state: Path, value: object) -> None:
    (state / "proofs" / f"{REPO.folder}.json").write_text(json.dumps({"version": 1, "blobs": {SHA.hex: [7, value, 9]}}))
    assert not Proofs(state, state / "hub").is_proven(REPO.folder, SHA, state.stat())


@per_example
@given(garbage=st.binary(max_size=200))
def test_garbage_in_the_place_of_every_file(state: Path, garbage: bytes) -> None:
    records, proofs = Records(state), Proofs(state, state / "hub")
    (state / "repos" / REPO.folder).mkdir(exist_ok=True)
    files = [
        state / "repos" / REPO.folder / f"{COMMIT}.json",
        state / "repos" / REPO.folder / "refs.json",
        state / "repos" / REPO.folder / "fleet.json",
        state / "proofs" / f"{REPO.folder}.json",
        state / "proofs" / f"{REPO.folder}.log",
        state / "tree.json",
    ]
    for path in files:
        path.write_bytes(garbage)
    assert is_safe(records.load(REPO, COMMIT))
    assert records.last_seen(REPO, "main") is None
    assert not records.is_open_for(REPO.folder, lambda _: True)
    assert proofs.of(REPO.folder) == {}
    assert not holds(files[-1], tree_entries(TREE) or {})
    records.saw(REPO, "main", Seen(COMMIT, None), "https://hub.example")
    assert records.last_seen(REPO, "main") == COMMIT
    proofs.add(REPO.folder, [(SHA, state.stat())])
    assert proofs.is_proven(REPO.folder, SHA, state.stat())


@per_example
@given(value=JSON)
def test_any_json_in_the_place_of_refs(state: Path, value: Any) -> None:
    (state / "repos" / REPO.folder).mkdir(exist_ok=True)
    (state / "repos" / REPO.folder / "refs.json").write_text(json.dumps(value))
    seen = Records(state).last_seen(REPO, "main")
    assert seen is None or len(seen) == 40


@per_example
@given(data=st.data())
def test_proofs_that_were_changed(state: Path, data: st.DataObject) -> None:
    proofs = Proofs(state, state / "hub")
    proofs.add(REPO.folder, [(SHA, state.stat())])
    path = state / "proofs" / f"{REPO.folder}.json"
    path.write_text(json.dumps(mangled(json.loads(path.read_text()), data)))
    for name, proof in Proofs(state, state / "hub").of(REPO.folder).items():
        assert isinstance(name, str)
        assert [type(part) for part in proof] == [int, int, int, int]
    Proofs(state, state / "hub").add(REPO.folder, [(SHA, state.stat())])
    assert Proofs(state, state / "hub").of(REPO.folder)[SHA.hex] == stamp(state.stat())


@per_example
@given(data=st.data())
def test_a_listing_of_the_cache_that_was_changed(state: Path, data: st.DataObject) -> None:
    entries = tree_entries(TREE)
    assert entries is not None
    right = json.loads(render(entries))
    changed = mangled(right, data)
    path = state / "tree.json"
    path.write_text(json.dumps(changed))
    if holds(path, entries):
        # More than is asked for is fine; what is asked for must all be there, as it is.
        assert {
            name: {k: v for k, v in info.items() if k != "xet_hash"} for name, info in changed["files"].items()
        } == (right["files"])


@given(text=st.text(max_size=300), number=st.integers() | st.floats())
def test_a_file_of_a_record_is_made_of_sane_parts_or_refused(text: str, number: float) -> None:
    try:
        made = RepoFile(text, int(number) if number == number and abs(number) < 1e300 else 0, SHA, is_lfs=True)
    except GlmAriaError:
        return
    assert made.size >= 0
    assert not made.path.startswith("/")
