"""Signatures that OpenSSF's library made, and ours; and what is none, or is one of something else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.signatures import bundle, statement
from orchestrator.signatures.vouching import SignatureVerdict, judge, sign
from tests.signatures.signed import CONTENTS, FILES, digest, made, new_key, public

OTHER = digest(b"other")


def judged(*bundles: bytes, files: Any = FILES, is_whole: bool = True) -> SignatureVerdict:
    return judge(bundles, public(), files, "r", is_whole=is_whole)


def reason(*bundles: bytes, files: Any = FILES) -> str:
    found = judged(*bundles, files=files)
    assert not found.is_valid
    return "; ".join(found.reasons)


@pytest.mark.parametrize("curve", ["p256", "p384", "p521"])
def test_a_signature_of_the_library_is_valid(curve: str) -> None:
    assert judge([made(f"{curve}.sig")], public(curve), FILES, "r") == SignatureVerdict(True)


def test_one_of_several_is_enough() -> None:
    assert judged(made("p384.sig"), b"nonsense", made("p256.sig")).is_valid


def test_without_any_nothing_is_valid() -> None:
    assert judged() == SignatureVerdict(False)


def test_a_signature_by_another_key_is_not_valid() -> None:
    assert reason(made("p384.sig"), sign("m", FILES, new_key())) == "it is by another key"


def test_a_key_is_not_believed_for_what_the_bundle_calls_it() -> None:
    other = new_key()
    payload = statement.render("m", FILES)
    forged = bundle.SignedStatement(payload, other.sign(bundle.message(payload)), public().hint)
    assert reason(bundle.render(forged)) == "it is by another key"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (FILES | {"config.json": OTHER}, "'config.json' was signed with other bytes"),
        (FILES | {"evil.py": OTHER}, "'evil.py' is not signed"),
        ({path: known for path, known in FILES.items() if path != "config.json"}, "'config.json' was signed and"),
        (FILES | {"sub/.gitattributes": OTHER}, "is not signed"),
        (FILES | {".gitmodules": OTHER}, "is not signed"),
    ],
)
def test_a_listing_of_other_files_is_not_signed(files: Any, why: str) -> None:
    assert why in reason(made("p256.sig"), files=files)
    key = new_key()
    assert not judge([sign("m", FILES, key)], key.public, files, "r").is_valid


def test_what_belongs_to_git_is_not_signed() -> None:
    assert judged(made("p256.sig"), files=FILES | {".gitattributes": OTHER}).is_valid


def test_a_part_of_the_signed_files_is_enough_for_a_listing_of_a_part() -> None:
    part = {"config.json": FILES["config.json"]}
    assert judged(made("p256.sig"), files=part, is_whole=False).is_valid
    assert not judged(made("p256.sig"), files={"config.json": OTHER}, is_whole=False).is_valid


@pytest.mark.parametrize("name", ["shards.sig", "blake3.sig"])
def test_digests_that_no_listing_has_are_told(name: str) -> None:
    assert "sha256 of whole files" in reason(made(name))


def test_a_changed_statement_is_not_signed() -> None:
    value = json.loads(made("p256.sig"))
    payload = base64.b64decode(value["dsseEnvelope"]["payload"])
    changed = payload.replace(FILES["config.json"].hex.encode(), OTHER.hex.encode())
    assert changed != payload
    value["dsseEnvelope"]["payload"] = base64.b64encode(changed).decode()
    assert reason(json.dumps(value).encode(), files=FILES | {"config.json": OTHER}) == "it is by another key"


def test_our_signature_is_read() -> None:
    key = new_key()
    body = sign("team/model", FILES, key)
    assert judge([body], key.public, FILES, "r").is_valid
    signed = statement.parse(bundle.parse(body, "r").payload, "r")
    assert list(signed) == ["config.json", "naïve.txt", "sub/model.safetensors", "sub-a.txt"]


def test_our_statement_is_that_of_the_library_but_for_its_layout() -> None:
    theirs = json.loads(bundle.parse(made("p256.sig"), "r").payload)
    ours = json.loads(statement.render("org_model", FILES))
    for value in (theirs, ours):
        value["predicate"]["serialization"]["ignore_paths"].sort()
    assert ours == theirs


def _envelope(**changes: Any) -> bytes:
    value = json.loads(made("p256.sig"))
    value["dsseEnvelope"] |= changes
    return json.dumps(value).encode()


def _stated(change: Any) -> bytes:
    """A bundle of a statement that was changed before it was signed by the right key."""
    value = json.loads(statement.render("m", FILES))
    change(value)
    payload = json.dumps(value).encode()
    return bundle.render(bundle.SignedStatement(payload, KEY.sign(bundle.message(payload)), KEY.public.hint))


KEY = new_key()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b"{}",
        _envelope(payloadType="text/plain"),
        _envelope(payload="not base64"),
        _envelope(payload="ü"),
        _envelope(payload=7),
        _envelope(signatures=[]),
        _envelope(signatures=["text"]),
        _envelope(signatures=[{}]),
        b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.1+json", "dsseEnvelope": {}}',
        b" " * (bundle.MOST_BYTES + 1),
    ],
    ids=lambda body: str(body[:40]),
)
def test_what_is_no_bundle_is_malformed(body: bytes) -> None:
    assert "malformed" in reason(body)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(predicateType="https://model_signing/Digests/v0.1"),
        lambda value: value.update(subject=[]),
        lambda value: value["subject"][0]["digest"].update(sha256="0" * 64),
        lambda value: value.update(predicate=[]),
        lambda value: value["predicate"].update(resources={}),
        lambda value: value["predicate"].update(resources=[[]] * 100_001),
        lambda value: value["predicate"]["resources"].append(value["predicate"]["resources"][0]),
        lambda value: value["predicate"]["resources"][0].update(algorithm="blake2"),
        lambda value: value["predicate"]["resources"][0].update(digest="../../x"),
        lambda value: value["predicate"]["resources"][0].update(name=None),
    ],
)
def test_a_signed_statement_that_is_odd_is_refused(change: Any) -> None:
    assert judge([_stated(lambda value: None)], KEY.public, FILES, "r").is_valid
    found = judge([_stated(change)], KEY.public, FILES, "r")
    assert not found.is_valid
    assert found.reasons != ("it is by another key",)


_NAMES = st.sampled_from(["mediaType", "dsseEnvelope", "payload", "signatures", "sig", "verificationMaterial"])


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner))
)
def test_any_json_is_a_reason(value: Any) -> None:
    assert not judged(json.dumps(value).encode()).is_valid


def test_contents_and_digests_go_together() -> None:
    assert {path: digest(content) for path, content in CONTENTS.items()} == FILES
