"""What a source says, for which node, and one hash of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.speeds import DaySpan, SpeedPlan
from orchestrator.core.trust import Level, Trust
from orchestrator.desired.wish.address import ArtifactAddress, FileAddress, GitAddress, parse_source
from orchestrator.desired.wish.document import DesiredDocument, parse_document
from orchestrator.desired.wish.labels import is_for, parse_labels, parse_selectors
from orchestrator.desired.wish.wanted import ModelSet, SetModel, SetRules, merge
from orchestrator.errors import UsageError
from orchestrator.lists.lockfile import Lock, LockedFile, LockedModel, render_lock
from tests import plain

SHA = "a" * 64


def locked(name: str = "main", commit: str = plain.ONE, sha: str = SHA) -> LockedModel:
    file = LockedFile("w.bin", 5, "b" * 40, sha, is_lfs=True)
    return LockedModel(plain.ref(name), commit, Trust(Level.ROOT, "https://root.test"), (file,))


def document(text: str, name: str = "desired.toml", **more: str) -> DesiredDocument:
    files: Mapping[str, str] = {name: text, **more}

    def read(path: str) -> str:
        if path not in files:
            raise UsageError(f"there is no {path}")
        return files[path]

    return parse_document(name, read)


def test_a_document_says_models_limits_and_nodes() -> None:
    found = document(
        """
        grace = "2h"
        [budget]
        disk = "200GB"
        speed = "08:00-18:00=10M,else=0"
        window = "22:00-06:00"
        [[model]]
        ref = "org/a@v1"
        as = "chat"
        include = ["*.json"]
        nodes = { zone = "edge-*" }
        [[model]]
        ref = "org/b"
        """
    )
    chat, other = found.models
    assert (chat.name, str(chat.item.ref), chat.item.include) == ("chat", "org/a@v1", ("*.json",))
    assert chat.nodes == ((("zone", "edge-*"),),)
    assert (other.name, other.nodes) == ("org/b", ())
    assert (found.grace, found.budget.disk) == (7200, 200 * 10**9)
    assert isinstance(found.budget.speed, SpeedPlan)
    assert found.budget.windows == (DaySpan(22 * 60, 6 * 60),)
    assert found.budget.is_open(23 * 60)
    assert not found.budget.is_open(12 * 60)


def test_lists_and_locks_are_desired_states_too() -> None:
    lines = document("org/a\norg/b@v1 include=*.json\n@include more.txt\n", "models.txt", **{"more.txt": "org/c\n"})
    assert [model.name for model in lines.models] == ["org/a", "org/b", "org/c"]
    lock = render_lock(Lock((locked(),)))
    (only,) = document(lock, "glm-aria.lock").models
    assert only.item.locked == locked()
    (one,) = document(
        'lock = "x/set.lock"\n[[model]]\nref = "org/m"\nas = "m"\npriority = 3', **{"x/set.lock": lock}
    ).models
    assert (one.name, one.item.locked, one.item.priority) == ("m", locked(), 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no model"),
        ("[[model]]\nref = 'org/a'\nas = '../x'", "is not a folder of a set"),
        ("[[model]]\nref = 'org/a'\nas = 'a/../../x'", "is not a folder of a set"),
        ("[[model]]\nref = 'org/a'\nas = '.hidden'", "is not a folder of a set"),
        ("[[model]]\nref = 'org/a'\n[[model]]\nref = 'org/a@v2'", "would share the folder"),
        ("[[model]]\nref = 'org/a'\nlocal_dir = 'x'", "has folders of its own"),
        ("[[model]]\nref = 'org/a'\nwhat = 1", "unknown key 'what'"),
        ("[[model]]\nref = 'org/a'\nnodes = 'gpu'", "must be a table of labels"),
        ("[budget]\nsize = 1\n[[model]]\nref = 'org/a'", "unknown key 'size'"),
        ("[budget]\nwindow = '25:00-26:00'\n[[model]]\nref = 'org/a'", "not a time of the day"),
        ("[budget]\nwindow = '9'\n[[model]]\nref = 'org/a'", "for example 22:00-06:00"),
        ("grace = 3\n[[model]]\nref = 'org/a'", "grace must be a text"),
        ("lock = '../x.lock'\n[[model]]\nref = 'org/a'", "lies outside"),
        ("include = ['/etc/passwd']\n[[model]]\nref = 'org/a'", "lies outside"),
        ("include = ['desired.toml']\n[[model]]\nref = 'org/a'\nx = 1", "unknown key 'x'"),
        ("model = 3", "must be a list of tables"),
        ("not toml", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_refused_as_a_whole(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        document(text)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("zz = 1\n[[model]]\nref = 'org/a'", "lock, grace, budget"),
        ("[[model]]\nref = 'org/a'\nzz = 1", "as, nodes"),
        ("grac = '1h'\n[[model]]\nref = 'org/a'", "did you mean grace?"),
        ("[[model]]\nref = 'org/a'\nnode = 1", "did you mean nodes?"),
    ],
)
def test_a_hint_names_the_keys_of_a_desired_state(text: str, known: str) -> None:
    with pytest.raises(UsageError) as refused:
        document(text)
    assert known in str(refused.value.hint)


def test_a_model_that_the_lock_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match="is not in the lock"):
        document('lock = "l.lock"\n[[model]]\nref = "org/other"', **{"l.lock": render_lock(Lock((locked(),)))})


@given(st.text())
def test_any_text_is_a_document_or_refused(text: str) -> None:
    for name in ("desired.toml", "models.txt", "glm-aria.lock"):
        try:
            assert document(text, name).models
        except UsageError:
            continue


def test_selectors_choose_by_labels() -> None:
    node = parse_labels(["zone=edge-7", "gpu=no"])
    assert is_for((), node)
    assert is_for(parse_selectors({"zone": "edge-*"}, ""), node)
    assert not is_for(parse_selectors({"zone": "edge-*", "gpu": "!no"}, ""), node)
    assert is_for(parse_selectors([{"zone": "core"}, {"gpu": "no"}], ""), node)
    assert is_for(parse_selectors({"rack": "!r1"}, ""), node), "a label that is not there is the empty text"
    for wrong in ("zone", "=x", "a b=c", "zone=a b"):
        with pytest.raises(UsageError):
            parse_labels([wrong])


def test_a_later_source_counts_more() -> None:
    base = document('grace = "1h"\n[[model]]\nref = "org/a"\nas = "m"\n[[model]]\nref = "org/b"')
    own = document('[budget]\ndisk = "5GB"\n[[model]]\nref = "org/a@v2"\nas = "m"')
    found = merge([base, own], {})
    assert {model.name: str(model.item.ref) for model in found.models} == {"m": "org/a@v2", "org/b": "org/b@main"}
    assert (found.grace, found.budget.disk) == (3600, 5 * 10**9)
    assert merge([own, base], {}).digest != found.digest
    with pytest.raises(UsageError, match="would lie in that of another"):
        merge([document('[[model]]\nref = "org/a"\nas = "org"'), document("org/b", "models.txt")], {})
    with pytest.raises(UsageError, match="wanted twice"):
        merge([document("org/b", "models.txt"), document('[[model]]\nref = "org/b"\nas = "x"')], {})


@pytest.mark.parametrize(("one", "other"), [("a", "a/b"), ("main", "main/x"), ("v1/x/y", "v1"), ("x", "x/y/z")])
def test_revisions_that_cannot_lie_beside_each_other_are_refused(one: str, other: str) -> None:
    """A cache has a file for each revision, which cannot be the folder of another one."""
    text = f'[[model]]\nref = "org/m@{one}"\nas = "one"\n[[model]]\nref = "org/m@{other}"\nas = "other"\n'
    with pytest.raises(UsageError, match=r"^desired.toml: model [12]: org/m@.* cannot be in one set with org/m@"):
        merge([document(text)], {})
    parted = text.replace("org/m", "org/n", 1)
    assert len(merge([document(parted)], {}).models) == 2, "of two repos they can"
    labelled = text.replace('as = "one"', 'as = "one"\nnodes = { zone = "x" }')
    assert len(merge([document(labelled)], {}).models) == 1, "nor do they meet on this node"
    beside = '[[model]]\nref = "org/m@a"\nas = "one"\n[[model]]\nref = "org/m@a-b/c"\nas = "other"\n'
    assert len(merge([document(beside)], {}).models) == 2


def test_the_folder_of_a_node_depends_on_its_labels() -> None:
    text = '[[model]]\nref = "org/a@big"\nas = "m"\nnodes = { gpu = "yes" }\n'
    text += '[[model]]\nref = "org/a@small"\nas = "m"\nnodes = { gpu = "!yes" }'
    found = document(text)
    assert str(merge([found], {"gpu": "yes"}).models[0].item.ref) == "org/a@big"
    assert str(merge([found], {}).models[0].item.ref) == "org/a@small"
    with pytest.raises(UsageError, match="both for this node"):
        merge([document(text.replace('"!yes"', '"y*"'))], {"gpu": "yes"})


def test_one_hash_names_a_set_by_its_bytes_places_and_rules() -> None:
    base = ModelSet((SetModel("m", locked()),))
    assert base.digest == ModelSet((SetModel("m", locked(), priority=5),)).digest, "an order of fetching is no content"
    others = [
        ModelSet((SetModel("n", locked()),)),
        ModelSet((SetModel("m", locked(sha="c" * 64)),)),
        ModelSet((SetModel("m", locked(commit=plain.TWO)),)),
        ModelSet((SetModel("m", locked("v1")),)),
        ModelSet((SetModel("m", locked()),), SetRules(safe_only=True)),
        ModelSet(()),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 7
    trust = replace(locked(), trust=Trust(Level.LOCK, "elsewhere"))
    assert ModelSet((SetModel("m", trust),)).digest == base.digest, "who vouched is no content"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/etc/site", FileAddress("/etc/site")),
        ("file:///etc/site/desired.toml", FileAddress("/etc/site/desired.toml")),
        ("git+https://h/o/r.git//a/b.toml@v1/x", GitAddress("https://h/o/r.git", "a/b.toml", "v1/x")),
        ("git+https://h/o/r.git", GitAddress("https://h/o/r.git", "", "HEAD")),
        ("git+ssh://git@h:22/r.git//a@main", GitAddress("ssh://git@h:22/r.git", "a", "main")),
        ("git+file:///srv/r.git//a@main", GitAddress("file:///srv/r.git", "a", "main")),
    ],
)
def test_addresses_are_read(text: str, found: object) -> None:
    assert parse_source(text) == found
    assert str(parse_source(str(found))) == str(found)


def test_an_artifact_has_a_tag_or_a_digest() -> None:
    found = parse_source("oci://127.0.0.1:5000/fleet/edge:site")
    assert isinstance(found, ArtifactAddress)
    assert (found.repository.registry, found.reference) == ("http://127.0.0.1:5000", "site")
    assert str(found) == "oci://127.0.0.1:5000/fleet/edge:site"
    digest = f"oci://h/fleet/edge@sha256:{SHA}"
    assert str(parse_source(digest)) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "https://h/x",
        "git+ftp://h/x",
        "git+https://u:p@h/r.git",
        "git+https://token@h/r.git",
        "git+https:///r.git",
        "git+ssh://-oProxyCommand=x/r.git",
        "git+https://h/r.git//../x@main",
        "git+https://h/r.git//a@--upload-pack=x",
        "git+https://h/r.git//a@a..b",
        "git+ext::sh -c id",
        "oci://h/edge",
    ],
)
def test_addresses_that_mean_something_else_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_source(text)
