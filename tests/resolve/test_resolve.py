"""From a ref to a commit and a listing: who is asked, in which order, and what each policy believes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.records import Record, Records
from orchestrator.catalogs.commit_chain import GitObject
from orchestrator.catalogs.interface import Catalog
from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree, git_blob_header
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.trust import Level, Policy, Seen, Trust
from orchestrator.errors import (
    NotFoundError,
    ProxyError,
    SourcesDownError,
    TemporaryError,
    TrustError,
    UnsafeError,
)
from orchestrator.lists.request import Item, PullRequest
from orchestrator.resolve.question import Question
from orchestrator.resolve.resolve import ask, remember, resolve
from tests import plain
from tests.plain import FILES, MIRROR, MS, ONE, OTHER, ROOT, SCOPE, TWO, Heard, PlainCatalog, PlainGit

DOWN = SourcesDownError("root does not answer")
BUSY = TemporaryError("root is busy")


@pytest.fixture
def records(tmp_path: Path) -> Records:
    (tmp_path / "repos").mkdir()
    (tmp_path / "stage").mkdir()
    return Records(tmp_path)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def question(records: Records, heard: Heard) -> Callable[..., Question]:
    """A question about org/m@main to these catalogs; a keyword is of the item, of the sites or of the request."""

    def make(*catalogs: Catalog, revision: str = "main", kind: Any = plain.HF, **given: Any) -> Question:
        item = {
            name: given.pop(name)
            for name in ("include", "exclude", "files", "quantization", "variant")
            if name in given
        }
        of_sites = {name: given.pop(name) for name in ("git", "aliases", "named") if name in given}
        request = PullRequest((), policy=Policy(given.pop("policy", "agree")), **given)
        sites = plain.sites(*catalogs, **of_sites)
        return Question(Item(plain.ref(revision, kind), **item), request, sites, records, heard)

    return make


Ask = Callable[..., Question]


def learn(records: Records, question: Question, model: ResolvedModel) -> None:
    remember(model, records, question.sites)


# -- the root answers


def test_the_root_is_asked_for_commit_and_listing(question: Ask) -> None:
    root = PlainCatalog()
    model = resolve(question(root))
    assert root.asked == ["revision main", "tree 1111"]
    assert (model.commit, model.trust) == (ONE, Trust(Level.ROOT, ROOT.url))
    assert {file.path for file in model.wanted.files} == set(FILES)


def test_nothing_is_listed_before_the_caller_says_so(question: Ask) -> None:
    root = PlainCatalog()
    listing = ask(question(root))
    assert callable(listing)
    assert root.asked == ["revision main"]
    assert listing().commit == ONE


def test_a_commit_that_was_listed_is_not_listed_again(question: Ask, records: Records) -> None:
    root = PlainCatalog()
    first = question(root)
    learn(records, first, resolve(first))
    root.asked.clear()
    assert isinstance(ask(question(root)), ResolvedModel)
    assert root.asked == ["revision main"]


def test_a_listing_of_a_mirror_is_not_taken_for_the_roots(question: Ask, records: Records) -> None:
    records.save(plain.REPO, Record(plain.tree_of(), Trust(Level.SINGLE, MIRROR.url)))
    root = PlainCatalog()
    assert resolve(question(root)).trust.level == Level.ROOT
    assert root.asked == ["revision main", "tree 1111"]


def test_a_proven_listing_is_good_for_everybody(question: Ask, records: Records) -> None:
    records.save(plain.REPO, Record(plain.tree_of(), Trust(Level.COMMIT, MIRROR.url)))
    root = PlainCatalog()
    resolve(question(root))
    assert root.asked == ["revision main"]


@pytest.mark.parametrize("policy", ["any", "agree", "root"])
def test_no_mirror_is_asked_while_the_root_answers(question: Ask, policy: str) -> None:
    mirror = PlainCatalog(MIRROR)
    resolve(question(PlainCatalog(), mirror, policy=policy))
    assert mirror.asked == []


def test_what_the_root_refuses_is_an_answer(question: Ask) -> None:
    mirror = PlainCatalog(MIRROR)
    with pytest.raises(NotFoundError):
        resolve(question(PlainCatalog(heads={}), mirror, policy="any"))
    assert mirror.asked == []


def test_a_new_name_is_told(question: Ask, heard: Heard) -> None:
    resolve(question(PlainCatalog(name_now="org/new")))
    assert heard.codes == ["renamed"]


def test_globs_choose_and_a_wrong_name_is_not_passed_over(question: Ask) -> None:
    model = resolve(question(PlainCatalog(), include=("*.json",)))
    assert [file.path for file in model.wanted.files] == ["config.json"]
    assert len(model.tree.files) == len(FILES)
    with pytest.raises(NotFoundError, match="no file of org/m@main is wanted"):
        resolve(question(PlainCatalog(), include=("*.bin",)))
    with pytest.raises(NotFoundError, match=r"holds no file 'conifg\.json'") as caught:
        resolve(question(PlainCatalog(), files=("conifg.json",)))
    assert "did you mean 'config.json'?" in (caught.value.hint or "")


def test_a_quantisation_is_chosen_by_name_and_a_wrong_one_is_told(question: Ask) -> None:
    paths = ("a-Q4_K_M.gguf", "a-Q8_0.gguf", "b-Q8_0.gguf", "mmproj-F16.gguf", "config.json")
    root = PlainCatalog(trees={ONE: plain.tree_of(content=dict.fromkeys(paths, b"x"))})
    model = resolve(question(root, quantization="q4_k_m"))
    assert [file.path for file in model.wanted.files] == ["a-Q4_K_M.gguf", "mmproj-F16.gguf"]
    with pytest.raises(NotFoundError, match="no quantisation Q5_K_M") as caught:
        resolve(question(root, quantization="Q5_K_M"))
    assert caught.value.hint == "it has Q4_K_M, Q8_0"
    with pytest.raises(NotFoundError, match="2 models in Q8_0: a-Q8_0, b-Q8_0") as caught:
        resolve(question(root, quantization="Q8_0"))
    assert caught.value.hint == "name the files of one: glm-aria pull org/m@main 'a-Q8_0*'"
    with pytest.raises(NotFoundError, match="holds no GGUF file"):
        resolve(question(PlainCatalog(), quantization="Q8_0"))


def test_a_variant_is_chosen_by_name_and_a_wrong_one_is_told(question: Ask) -> None:
    paths = ("model.safetensors", "model.fp16.safetensors", "config.json")
    root = PlainCatalog(trees={ONE: plain.tree_of(content=dict.fromkeys(paths, b"x"))})
    model = resolve(question(root, variant="fp16"))
    assert [file.path for file in model.wanted.files] == ["config.json", "model.fp16.safetensors"]
    with pytest.raises(NotFoundError, match="no weights of the variant bf16") as caught:
        resolve(question(root, variant="bf16"))
    assert caught.value.hint == "it has fp16"
    with pytest.raises(NotFoundError) as caught:
        resolve(question(PlainCatalog(), variant="fp16"))
    assert caught.value.hint == "it has none: pull it without --variant"


def test_pickles_are_refused_on_demand(question: Ask) -> None:
    root = PlainCatalog(trees={ONE: plain.tree_of(content={"model.bin": b"x", **FILES})})
    resolve(question(root))
    with pytest.raises(UnsafeError):
        resolve(question(root, safe_only=True))


# -- a catalog that the ref names


def test_modelscope_speaks_for_itself_but_under_root_or_commit(question: Ask) -> None:
    scope = PlainCatalog(SCOPE)
    assert resolve(question(scope, revision="master", kind=MS)).trust.level == Level.SINGLE
    for policy, reason in (("root", "trusts only the root"), ("commit", "does not name a commit")):
        with pytest.raises(TrustError, match=reason):
            resolve(question(scope, revision="master", kind=MS, policy=policy))


def test_nobody_stands_in_for_a_catalog_that_the_ref_names(question: Ask) -> None:
    others = PlainCatalog(MIRROR), PlainCatalog(replace(SCOPE, name="scope-2", url="https://scope-2.test"))
    with pytest.raises(SourcesDownError):
        resolve(question(PlainCatalog(SCOPE, error=DOWN), *others, revision="master", kind=MS, policy="any"))
    assert others[0].asked == others[1].asked == []


# -- the root does not answer


def test_the_root_or_nothing(question: Ask) -> None:
    mirrors = PlainCatalog(MIRROR), PlainCatalog(OTHER)
    with pytest.raises(TrustError, match="trusts no other site") as caught:
        resolve(question(PlainCatalog(error=DOWN), *mirrors, policy="root"))
    assert f"--root {MIRROR.url}" in (caught.value.hint or "")
    assert mirrors[0].asked == mirrors[1].asked == []


@pytest.mark.parametrize("error", [BUSY, ProxyError("the proxy does not answer")], ids=["busy", "proxy"])
def test_what_another_try_may_mend_is_no_question_of_trust(question: Ask, error: Any) -> None:
    with pytest.raises(type(error)):
        resolve(question(PlainCatalog(error=error), PlainCatalog(MIRROR), policy="root"))


@pytest.mark.parametrize("policy", ["any", "agree"])
def test_without_mirrors_the_roots_error_stays(question: Ask, policy: str) -> None:
    with pytest.raises(SourcesDownError):
        resolve(question(PlainCatalog(error=DOWN), policy=policy))


def test_two_mirrors_that_say_the_same_are_believed(question: Ask, heard: Heard) -> None:
    model = resolve(question(PlainCatalog(error=DOWN), PlainCatalog(MIRROR), PlainCatalog(OTHER)))
    assert model.trust == Trust(Level.AGREE, MIRROR.url, (OTHER.url,))
    assert heard.codes == []


def test_one_mirror_is_not_enough(question: Ask) -> None:
    with pytest.raises(TrustError, match="no two others confirm each other") as caught:
        resolve(question(PlainCatalog(error=DOWN), PlainCatalog(MIRROR)))
    assert "--trust any" in (caught.value.hint or "")


def test_a_busy_root_is_worth_another_run_before_anybody_else_is_believed(question: Ask) -> None:
    with pytest.raises(TemporaryError) as caught:
        resolve(question(PlainCatalog(error=TemporaryError("root is busy")), PlainCatalog(MIRROR)))
    hint = caught.value.hint or ""
    assert hint.count("run it again later") == 1
    assert "--trust any" in hint


def test_where_nobody_answers_no_mirror_is_suggested(question: Ask) -> None:
    off = TemporaryError("no such name", hint="check the network")
    with pytest.raises(TemporaryError) as caught:
        resolve(question(PlainCatalog(error=off), PlainCatalog(MIRROR, error=BUSY), PlainCatalog(OTHER, error=BUSY)))
    assert caught.value.hint == "check the network"


def test_a_mirror_that_lists_otherwise_than_two_others_is_named(question: Ask, heard: Heard) -> None:
    liar = PlainCatalog(replace(MIRROR, name="liar", url="https://liar.test"))
    liar.trees = {ONE: plain.tree_of(content={**FILES, "evil.py": b"x"})}
    model = resolve(question(PlainCatalog(error=DOWN), liar, PlainCatalog(MIRROR), PlainCatalog(OTHER)))
    assert model.trust.source == MIRROR.url
    assert heard.codes == ["mirror-lied"]
    assert "'evil.py'" in heard.messages[0]


def test_mirrors_at_different_commits_do_not_agree(question: Ask) -> None:
    stale = PlainCatalog(OTHER, heads={"main": TWO}, trees={TWO: plain.tree_of(TWO)})
    with pytest.raises(TrustError, match="different commits"):
        resolve(question(PlainCatalog(error=DOWN), PlainCatalog(MIRROR), stale))


def test_a_mirror_that_cannot_be_heard_is_told_unless_it_has_no_such_repo(question: Ask, heard: Heard) -> None:
    gone, down = PlainCatalog(OTHER, heads={}), PlainCatalog(replace(OTHER, name="third"), error=BUSY)
    with pytest.raises(TrustError):
        resolve(question(PlainCatalog(error=DOWN), PlainCatalog(MIRROR), gone, down))
    assert heard.codes == ["mirror-down"]


def test_modelscope_is_asked_for_the_name_that_it_has_there(question: Ask) -> None:
    scope = PlainCatalog(SCOPE)
    model = resolve(
        question(
            PlainCatalog(error=DOWN),
            PlainCatalog(MIRROR),
            scope,
            include=("*.safetensors",),
            aliases={"org/m": "ms/m"},
        )
    )
    assert model.trust == Trust(Level.AGREE, MIRROR.url, (SCOPE.url,))
    assert scope.asked == ["revision master", "tree 1111"]


def test_any_takes_the_first_mirror_that_answers_and_says_so(question: Ask, heard: Heard) -> None:
    model = resolve(
        question(PlainCatalog(error=DOWN), PlainCatalog(MIRROR, error=BUSY), PlainCatalog(OTHER), policy="any")
    )
    assert model.trust == Trust(Level.SINGLE, OTHER.url)
    assert heard.codes == ["single-source"]


def test_without_the_root_the_answer_is_the_model_at_once(question: Ask) -> None:
    """Nothing is left to ask then, so a model that is complete loads nothing that only a transfer needs."""
    asked = ask(question(PlainCatalog(error=DOWN), PlainCatalog(MIRROR), policy="any"))
    assert isinstance(asked, ResolvedModel)
    assert asked.trust.level == Level.SINGLE


def test_a_root_that_goes_down_before_it_lists_is_stood_in_for(question: Ask) -> None:
    model = resolve(question(PlainCatalog(tree_error=DOWN), PlainCatalog(MIRROR), policy="any"))
    assert model.trust.source == MIRROR.url


def test_a_mirror_that_only_carries_bytes_has_no_word(question: Ask) -> None:
    carrier = PlainCatalog(replace(MIRROR, is_believed=False))
    with pytest.raises(SourcesDownError):
        resolve(question(PlainCatalog(error=DOWN), carrier, policy="any"))


# -- closed repos


def test_a_repo_that_was_closed_is_not_told_to_mirrors(question: Ask, records: Records) -> None:
    first = question(PlainCatalog(is_restricted=True))
    model = resolve(first)
    assert model.is_restricted
    learn(records, first, model)
    mirror, named = PlainCatalog(MIRROR), PlainCatalog(OTHER)
    with pytest.raises(SourcesDownError):
        resolve(question(PlainCatalog(error=DOWN), mirror, policy="any"))
    resolve(question(PlainCatalog(error=DOWN), mirror, named, policy="any", named=["other.test"]))
    assert mirror.asked == []


# -- a commit that proves its listing


def git_of(content: dict[str, bytes]) -> tuple[str, dict[str, GitObject]]:
    """A commit of these files, none of them LFS, and its objects."""

    def put(kind: str, body: bytes) -> str:
        oid = hashlib.sha1(f"{kind} {len(body)}\0".encode() + body).hexdigest()
        objects[oid] = GitObject(kind, body)
        return oid

    objects: dict[str, GitObject] = {}
    rows = b""
    for path, data in sorted(content.items()):
        oid = put("blob", data)
        assert oid == hashlib.sha1(git_blob_header(len(data)) + data).hexdigest()
        rows += f"100644 {path}\0".encode() + bytes.fromhex(oid)
    return put("commit", f"tree {put('tree', rows)}\n\n".encode()), objects


CONTENT = {"a.json": b"{}", "b.py": b"import os\n"}


def proven_by(commit: str, source: Any = MIRROR, content: dict[str, bytes] = CONTENT, **given: Any) -> PlainCatalog:
    return PlainCatalog(source, {}, {commit: plain.tree_of(commit, content)}, **given)


def test_a_listing_that_the_commit_proves_needs_nobodys_word(question: Ask) -> None:
    commit, objects = git_of(CONTENT)
    git = PlainGit({commit: objects})
    asked = question(PlainCatalog(error=DOWN), proven_by(commit), revision=commit, policy="commit", git=git)
    assert resolve(asked).trust == Trust(Level.COMMIT, MIRROR.url, (MIRROR.url,))


@pytest.mark.parametrize(
    "content",
    [{**CONTENT, "evil.py": b""}, {"a.json": b"{}"}, {**CONTENT, "a.json": b"[]"}],
    ids=["adds", "hides", "swaps"],
)
def test_a_listing_that_the_commit_refutes_is_named_and_the_next_one_counts(
    question: Ask, heard: Heard, content: dict[str, bytes]
) -> None:
    commit, objects = git_of(CONTENT)
    git, liar = PlainGit({commit: objects}), proven_by(commit, content=content)
    root = PlainCatalog(error=DOWN)
    with pytest.raises(TrustError, match="mirror lies about"):
        resolve(question(root, liar, revision=commit, policy="commit", git=git))
    model = resolve(question(root, liar, proven_by(commit, OTHER), revision=commit, policy="commit", git=git))
    assert model.trust.source == OTHER.url
    assert set(heard.codes) == {"mirror-lied"}


def test_without_git_objects_nothing_is_proven(question: Ask) -> None:
    commit, _ = git_of(CONTENT)
    with pytest.raises(TrustError, match="no site sent its git objects"):
        resolve(question(proven_by(commit, ROOT), revision=commit, policy="commit"))


def test_what_was_proven_is_not_asked_again(question: Ask, records: Records) -> None:
    tree = plain.tree_of()
    records.save(plain.REPO, Record(tree, Trust(Level.COMMIT, MIRROR.url)))
    root = PlainCatalog()
    assert resolve(question(root, revision=ONE, policy="commit")).tree == tree
    assert root.asked == []


# -- commits that go back


def test_a_branch_does_not_go_back(question: Ask, records: Records, heard: Heard) -> None:
    root = PlainCatalog(heads={"main": TWO}, trees={ONE: plain.tree_of(), TWO: plain.tree_of(TWO)})
    records.save(plain.REPO, Record(plain.tree_of(), Trust(Level.ROOT, ROOT.url)))
    for commit in (ONE, TWO):
        records.saw(plain.REPO, "main", Seen(commit), ROOT.url)
    assert resolve(question(root)).commit == TWO
    root.heads["main"] = ONE
    with pytest.raises(TrustError, match="seen before") as caught:
        resolve(question(root))
    assert "--allow-rollback" in (caught.value.hint or "")
    assert resolve(question(root, allow_rollback=True)).commit == ONE
    assert heard.codes == ["rolled-back"]


def test_a_commit_that_was_never_seen_is_new_from_the_root_and_has_a_date_from_a_mirror(
    question: Ask, records: Records
) -> None:
    records.saw(plain.REPO, "main", Seen(TWO, 200.0), ROOT.url)
    assert resolve(question(PlainCatalog(modified=100.0))).commit == ONE
    stale = PlainCatalog(MIRROR, modified=100.0)
    with pytest.raises(TrustError, match="older"):
        resolve(question(PlainCatalog(error=DOWN), stale, policy="any"))
    stale.modified = 300.0
    assert resolve(question(PlainCatalog(error=DOWN), stale, policy="any")).commit == ONE


def test_a_tag_may_move_but_a_mirror_cannot_call_a_branch_a_tag(question: Ask, records: Records, heard: Heard) -> None:
    trees = {ONE: plain.tree_of(), TWO: plain.tree_of(TWO)}
    for commit in (ONE, TWO):
        records.saw(plain.REPO, "v1", Seen(commit), ROOT.url)
    root = PlainCatalog(heads={"v1": ONE}, trees=trees, tags=("v1",))
    assert resolve(question(root, revision="v1")).commit == ONE
    assert heard.codes == ["tag-moved"]
    liar = PlainCatalog(MIRROR, heads={"v1": ONE}, trees=trees, tags=("v1",))
    with pytest.raises(TrustError, match="seen before"):
        resolve(question(PlainCatalog(error=DOWN), liar, revision="v1", policy="any"))


# -- offline, and what is recorded


def test_offline_another_catalogs_word_about_the_name_counts_for_nothing(question: Ask, records: Records) -> None:
    """`org/m@v1` of the Hub and of ModelScope are two repos, whose records lie side by side."""
    root, scope = PlainCatalog(heads={"v1": ONE}), PlainCatalog(SCOPE, heads={"v1": TWO}, trees={TWO: scopes_tree()})
    for kind in (plain.HF, plain.MS):
        asked = question(root, scope, revision="v1", kind=kind)
        learn(records, asked, resolve(asked))
    for kind, commit, other in ((plain.HF, ONE, TWO), (plain.MS, TWO, ONE)):
        ask_again = partial(question, root, scope, kind=kind, offline=True, policy="any")
        assert resolve(ask_again(revision="v1")).commit == commit
        with pytest.raises(NotFoundError):
            resolve(ask_again(revision=other))


def test_a_record_of_a_root_that_nobody_names_any_more_is_known_by_its_digests(question: Ask, records: Records) -> None:
    records.save(plain.REPO, Record(plain.tree_of(), Trust(Level.SINGLE, "https://was-a-hub.test")))
    scope = PlainCatalog(SCOPE)
    with pytest.raises(NotFoundError):
        resolve(question(PlainCatalog(), scope, revision=ONE, kind=plain.MS, offline=True))


def scopes_tree() -> RepoTree:
    """A listing of ModelScope's: it tells a sha256 of every file."""
    digest = Digest(Algorithm.SHA256, "a" * 64)
    return RepoTree.checked(TWO, [RepoFile("config.json", 1, digest, is_lfs=False)])


def test_offline_says_what_was_seen_last_and_how_far_it_is_believed(question: Ask, records: Records) -> None:
    root = PlainCatalog()
    with pytest.raises(NotFoundError, match="never pulled"):
        resolve(question(root, offline=True))
    model = ResolvedModel(plain.ref(), plain.tree_of(), plain.tree_of(), Trust(Level.AGREE, MIRROR.url))
    remember(model, records, plain.sites(root))
    assert resolve(question(root, offline=True)).trust.level == Level.AGREE
    with pytest.raises(TrustError, match="not enough for --trust root"):
        resolve(question(root, offline=True, policy="root"))
    assert root.asked == []


def remembered(records: Records, trust: Trust, wanted: tuple[str, ...] = ()) -> str:
    tree = plain.tree_of()
    remember(ResolvedModel(plain.ref(), tree, tree.select(wanted), trust), records, plain.sites(PlainCatalog()))
    record = records.load(plain.REPO, ONE)
    return record.trust.level if record else "nothing"


def test_a_stronger_word_about_a_commit_is_kept(records: Records) -> None:
    assert remembered(records, Trust(Level.ROOT, ROOT.url)) == Level.ROOT
    assert remembered(records, Trust(Level.SINGLE, MIRROR.url)) == Level.ROOT
    assert remembered(records, Trust(Level.COMMIT, MIRROR.url)) == Level.COMMIT


def test_those_who_agreed_spoke_of_the_wanted_files_only(records: Records) -> None:
    assert remembered(records, Trust(Level.AGREE, MIRROR.url), ("*.json",)) == Level.SINGLE


def test_a_lock_file_is_believed_by_nobody_else(records: Records) -> None:
    assert remembered(records, Trust(Level.LOCK, "my.lock")) == "nothing"
    assert records.last_seen(plain.REPO, "main") is None
