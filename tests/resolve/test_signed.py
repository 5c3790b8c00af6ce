"""`--verify-signature`: what is said of a listing that a key vouches for, and of every other one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.cache.records import Records
from orchestrator.core.files import RepoFile, RepoTree
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import Ref, parse_ref
from orchestrator.core.trust import Trust
from orchestrator.errors import TrustError, UsageError
from orchestrator.lists.request import Item, PullRequest
from orchestrator.resolve.question import Question
from orchestrator.resolve.signed import refuse_unsigned
from orchestrator.signatures.vouching import sign
from tests import plain
from tests.plain import ONE
from tests.signatures.signed import FILES, digest, made, new_key, public

PINNED = parse_ref(f"oci://registry.test/team/model@sha256:{'a' * 64}")
REG = parse_ref("reg://team/model@^1")

Judge = Callable[..., None]


@pytest.fixture
def judge(tmp_path: Any) -> Judge:
    def judge(
        *bundles: bytes, pinned: Ref | None = PINNED, offline: bool = False, files: Any = FILES, is_whole: bool = True
    ) -> None:
        asked: list[Ref] = []

        def signatures(ref: Ref) -> tuple[bytes, ...]:
            asked.append(ref)
            return bundles

        sites = replace(plain.sites(), signatures=signatures)
        question = Question(Item(REG), PullRequest((), offline=offline), sites, Records(tmp_path), print)
        tree = RepoTree.checked(ONE, [RepoFile(path, 1, known, is_lfs=True) for path, known in files.items()])
        model = ResolvedModel(REG, tree, tree, Trust("root", "r"), pinned=pinned, is_whole=is_whole)
        refuse_unsigned(question, model, public())
        assert asked == [pinned]

    return judge


def test_a_signed_listing_is_believed(judge: Judge) -> None:
    judge(made("p256.sig"))
    judge(b"nonsense", made("p384.sig"), made("p256.sig"))


def test_of_a_lock_of_a_part_the_part_is_enough(judge: Judge) -> None:
    part = {"config.json": FILES["config.json"]}
    judge(made("p256.sig"), files=part, is_whole=False)
    with pytest.raises(TrustError, match="was signed and is not there"):
        judge(made("p256.sig"), files=part)


def test_without_a_signature_it_is_said_how_to_make_one(judge: Judge) -> None:
    with pytest.raises(TrustError, match=r"registry\.test has no signature of reg://team/model") as told:
        judge()
    assert "--sign" in (told.value.hint or "")
    assert told.value.exit_code == 81


def test_every_reason_is_told(judge: Judge) -> None:
    with pytest.raises(TrustError, match=r"by another key \(and 1 more\); nothing was fetched") as told:
        judge(made("p384.sig"), made("p521.sig"), sign("m", FILES, new_key()), b"nonsense")
    assert len(told.value.details) == 2


def test_of_other_bytes_the_file_is_named(judge: Judge) -> None:
    with pytest.raises(TrustError, match=r"'config\.json' was signed with other bytes"):
        judge(made("p256.sig"), files=FILES | {"config.json": digest(b"evil")})


@pytest.mark.parametrize("pinned", [None, parse_ref("org/name@" + "a" * 40)])
def test_only_registries_have_signatures(judge: Judge, pinned: Ref | None) -> None:
    with pytest.raises(TrustError, match="only registries have signatures"):
        judge(made("p256.sig"), pinned=pinned)


def test_offline_nobody_can_be_asked(judge: Judge) -> None:
    with pytest.raises(UsageError, match="--offline"):
        judge(made("p256.sig"), offline=True)
