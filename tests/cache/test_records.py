"""What catalogs said, remembered between runs: listings, who vouched for them, and the commits of each revision."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cache.records import Record, Records
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.trust import Seen, Trust
from tests.cache.world import COMMIT, World, model_of

REPO = RepoId(RepoType.MODEL, "org/model")


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    model = model_of()
    record = Record(model.tree, model.trust, is_restricted=True, version="1.2.3")
    assert records.load(REPO, COMMIT) is None
    records.save(REPO, record)
    assert Records(tmp_path / "glm-aria").load(REPO, COMMIT) == record
    records.save(REPO, replace(record, is_restricted=False))
    again = records.load(REPO, COMMIT)
    assert again is not None
    assert not again.is_restricted


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data.update(version=2),
        lambda data: data.pop("trust"),
        lambda data: data["files"][0].__setitem__(0, "../../escape"),
        lambda data: data["files"][0].__setitem__(1, -1),
        lambda data: data["files"][0].__setitem__(2, "sha256:../x"),
        lambda data: data["files"].append(data["files"][0]),
        lambda data: data["files"].append([]),
    ],
)
def test_a_record_that_was_tampered_with_is_absent(tmp_path: Path, harm: object) -> None:
    records = Records(World(tmp_path).state)
    model = model_of()
    records.save(REPO, Record(model.tree, model.trust))
    path = tmp_path / "glm-aria" / "repos" / REPO.folder / f"{COMMIT}.json"
    data = json.loads(path.read_text())
    harm(data)  # type: ignore[operator]
    path.write_text(json.dumps(data))
    assert records.load(REPO, COMMIT) is None
    for text in ("", "[" * 100_000, "null"):
        path.write_text(text)
        assert records.load(REPO, COMMIT) is None
    assert records.load(REPO, "../../x") is None


def test_a_record_of_an_older_version_has_nobody_who_confirms(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    model = model_of()
    records.save(REPO, Record(model.tree, Trust("agree", "https://a", ("https://b",))))
    path = tmp_path / "glm-aria" / "repos" / REPO.folder / f"{COMMIT}.json"
    data = json.loads(path.read_text())
    assert data["trust"].pop("confirmed_by") == ["https://b"]
    path.write_text(json.dumps(data))
    found = records.load(REPO, COMMIT)
    assert found is not None
    assert found.trust == Trust("agree", "https://a")
    data["trust"]["level"] = "certain"
    path.write_text(json.dumps(data))
    assert records.load(REPO, COMMIT) is None


def test_a_word_of_a_fleet_opens_a_repo_to_its_members_alone(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    records.keep_seal(REPO, "seal")
    assert records.is_open_for(REPO.folder, lambda seal: seal == "seal")
    assert not records.is_open_for(REPO.folder, lambda _: False)
    assert not records.is_open(REPO.folder)
    assert records.load(REPO, COMMIT) is None
    assert records.commits() == ()
    model = model_of()
    records.save(REPO, Record(model.tree, model.trust, is_restricted=True))
    assert not records.is_open_for(REPO.folder, lambda _: True), "who listed it here knows better"
    records.save(REPO, Record(model.tree, model.trust))
    records.keep_seal(REPO, None)
    assert records.is_open(REPO.folder)
    assert records.is_open_for(REPO.folder, lambda _: False)


def test_a_word_of_a_fleet_goes_with_the_repo(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    records.forget_all(REPO)
    records.keep_seal(REPO, "seal")
    records.forget_all(REPO)
    assert not records.is_open_for(REPO.folder, lambda _: True)


ROOT = "https://root.example"


def test_the_commits_of_each_revision_are_remembered(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    assert records.last_seen(REPO, "main") is None
    assert records.history(REPO, "main", ROOT) == ()
    one, two, three = Seen(COMMIT, 1.5), Seen("2" * 40), Seen("3" * 40, 3.0)
    records.saw(REPO, "main", one, ROOT)
    records.saw(REPO, "refs/pr/1", Seen("1" * 40), ROOT)
    records.saw(REPO, "main", two, ROOT)
    records.saw(REPO, "main", Seen(two.commit, 9.0), ROOT)
    assert records.last_seen(REPO, "main") == "2" * 40
    assert records.last_seen(REPO, "refs/pr/1") == "1" * 40
    assert Records(tmp_path / "glm-aria").history(REPO, "main", ROOT) == (one, two)
    records.saw(REPO, "main", three, "https://other.example")
    assert records.last_seen(REPO, "main") == three.commit
    assert records.history(REPO, "main", ROOT) == (one, two)
    records.saw(REPO, "main", one, ROOT)
    assert records.last_seen(REPO, "main") == one.commit
    assert records.history(REPO, "main", ROOT) == (one,)
    assert records.history(REPO, "main", "https://other.example") == (three,)


def test_a_history_does_not_grow_for_ever(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    for number in range(230):
        records.saw(REPO, "main", Seen(f"{number:040x}"), ROOT)
    history = records.history(REPO, "main", ROOT)
    assert [history[0].commit, history[-1].commit, len(history)] == [f"{30:040x}", f"{229:040x}", 200]


def test_a_history_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    records = Records(World(tmp_path).state)
    records.saw(REPO, "main", Seen(COMMIT), ROOT)
    path = tmp_path / "glm-aria" / "repos" / REPO.folder / "refs.json"
    bad = [
        json.dumps({"main": COMMIT}),
        '{"main": "../x"}',
        '{"main": 7}',
        '{"main": [["../x", "r", null]]}',
        '{"main": [[7, "r", null]]}',
        "[]",
    ]
    for text in (*bad, '{"main": [["' + COMMIT + '", "r", "x"]]}', '{"main": [[1]]}', "[" * 100_000, ""):
        path.write_text(text)
        assert records.last_seen(REPO, "main") is None, text
    records.saw(REPO, "main", Seen(COMMIT), ROOT)
    assert records.last_seen(REPO, "main") == COMMIT
