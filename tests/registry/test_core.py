"""Versions and aliases over a real docker-registry with the facade's tokens."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial

import pytest

from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId
from orchestrator.errors import ConflictError, GateError, NotAllowedError, NotFoundError, RepoAbsentError, UsageError
from orchestrator.events import Notice
from orchestrator.oci.attached import attach
from orchestrator.oci.manifest import OCI_MANIFEST
from orchestrator.registry.audit import Deed
from orchestrator.registry.checks import AliasGate
from orchestrator.registry.core import ResolvedVersion
from orchestrator.registry.names import model_named, upload_repository
from orchestrator.registry.versions import Version
from orchestrator.rights import Role, Subject
from tests.oci.manifests import entry, model_pack
from tests.oci.pushing import push, push_files
from tests.registry.shop import ADMIN, Shop, somebody

FILES = {"config.json": b'{"architectures": ["A"]}', "model.safetensors": b"weights" * 100}
READER, PUBLISHER, PROMOTER = map(somebody, (Role.READER, Role.PUBLISHER, Role.PROMOTER))


def changed(text: bytes) -> dict[str, bytes]:
    return FILES | {"config.json": text}


def test_what_is_published_is_found_by_version_range_alias_and_digest(shop: Shop, model: RepoId) -> None:
    one = shop.publish("1.2.0", changed(b'{"a": 1}'), model=model)
    two = shop.publish("1.10.0+build.1", changed(b'{"a": 2}'), model=model)
    beta = shop.publish("2.0.0-beta.1", changed(b'{"a": 3}'), model=model)
    registry = shop.registry()
    registry.move(PROMOTER, model, "prod", "1.2.0", "")

    def found(wanted: str) -> str:
        return registry.resolve(READER, model, wanted).digest

    assert [found(wanted) for wanted in ("1.2.0", "~1.2", "<1.10", "prod", one, one[7:47])] == [one] * 6
    assert [found(wanted) for wanted in ("1.10.0+build.1", "1.10.0", "^1", "*", "")] == [two] * 5
    assert [found(wanted) for wanted in ("2.0.0-beta.1", "^2.0.0-beta", ">=2.0.0-alpha")] == [beta] * 3
    resolved = registry.resolve(READER, model, "prod")
    assert (str(resolved.version), resolved.aliases) == ("1.2.0", ("prod",))
    assert resolved.repository == f"{shop.server.url}/{model.name}"
    assert set(shop.root(model.name).tags()) == {"1.2.0", "1.10.0_build.1", "2.0.0-beta.1", "prod"}
    for wanted in ("^2", "3.0.0", "canary", "0" * 40, "sha256:" + "0" * 64, "no range"):
        with pytest.raises(NotFoundError):
            registry.resolve(READER, model, wanted)


def test_a_version_never_changes(shop: Shop, model: RepoId) -> None:
    digest = shop.publish("1.0.0", FILES, model=model)
    registry, other = shop.registry(), shop.upload(ADMIN, changed(b"{}"), model)
    with pytest.raises(ConflictError) as caught:
        registry.publish(ADMIN, model, Version.parse("1.0.0"), other)
    assert caught.value.details == (digest,)
    assert registry.publish(ADMIN, model, Version.parse("1.0.0"), digest) is False
    assert registry.publish(ADMIN, model, Version.parse("1.0.0+other"), other) is True


def test_of_eight_who_publish_one_version_one_does(shop: Shop, model: RepoId) -> None:
    who = [somebody(Role.PUBLISHER, f"ci-{index}") for index in range(8)]
    digests = [shop.upload(one, changed(b"[%d]" % index), model) for index, one in enumerate(who)]
    told = together(
        [
            partial(shop.registry().publish, one, model, Version.parse("1.0.0"), digest)
            for one, digest in zip(who, digests, strict=True)
        ]
    )
    winner = told.index(True)
    assert [error.details if isinstance(error, ConflictError) else error for error in told if error is not True] == [
        (digests[winner],)
    ] * 7
    assert shop.root(model.name).head("1.0.0") is not None


def test_of_eight_who_move_one_alias_one_does_and_the_others_are_told_of_it(shop: Shop, model: RepoId) -> None:
    for index in range(9):
        shop.publish(f"1.0.{index}", changed(b"[%d]" % index), model=model)
    first = shop.registry().move(PROMOTER, model, "prod", "1.0.8", "").digest
    told = together(
        [partial(shop.registry().move, PROMOTER, model, "prod", f"1.0.{index}", first) for index in range(8)]
    )
    (digest,) = [one.digest for one in told if isinstance(one, ResolvedVersion)]
    assert [error.details for error in told if isinstance(error, ConflictError)] == [(digest,)] * 7
    assert shop.registry().resolve(READER, model, "prod").digest == str(shop.root(model.name).head("prod")) == digest


def test_an_alias_is_made_moved_and_removed_by_who_names_what_it_is(shop: Shop, model: RepoId) -> None:
    one, two = (shop.publish(f"1.0.{n}", changed(b"[%d]" % n), model=model) for n in range(2))
    registry = shop.registry()
    with pytest.raises(ConflictError):
        registry.move(PROMOTER, model, "prod", "1.0.0", one)
    registry.move(PROMOTER, model, "prod", "1.0.0", "")
    with pytest.raises(ConflictError):
        registry.move(PROMOTER, model, "prod", "1.0.1", "")
    registry.move(PROMOTER, model, "prod", "1.0.1", one)
    with pytest.raises(ConflictError):
        registry.remove(PROMOTER, model, "prod", one)
    registry.remove(PROMOTER, model, "prod", two)
    with pytest.raises(NotFoundError):
        registry.resolve(READER, model, "prod")
    trail = [
        (event.who, event.deed, event.name, event.before, event.after) for event in registry.events(READER, 0, model)
    ]
    assert trail == [
        ("admin", Deed.PUBLISH, "1.0.0", "", one),
        ("admin", Deed.PUBLISH, "1.0.1", "", two),
        ("promoter", Deed.MOVE, "prod", "", one),
        ("promoter", Deed.MOVE, "prod", one, two),
        ("promoter", Deed.REMOVE, "prod", two, ""),
    ]


@pytest.mark.parametrize("name", ["1.0.0", "1.x", "*", "v1", "a" * 40, "sha256-x", "a/b", "", "-x"])
def test_a_name_that_means_something_else_is_no_alias(shop: Shop, model: RepoId, name: str) -> None:
    shop.publish("1.0.0", FILES, model=model)
    with pytest.raises(UsageError):
        shop.registry().move(PROMOTER, model, name, "1.0.0", "")


def test_what_somebody_moves_past_the_facade_is_put_back(shop: Shop, model: RepoId) -> None:
    one, two = (shop.publish(f"1.0.{n}", changed(b"[%d]" % n), model=model) for n in range(2))
    registry, root = shop.registry(), shop.root(model.name)
    registry.move(PROMOTER, model, "prod", "1.0.0", "")
    other = root.manifest(two)
    for tag in ("prod", "1.0.0"):
        root.put(tag, other.body, other.media_type)
        shop.events.clear()
        assert registry.resolve(READER, model, tag).digest == one
        assert str(root.head(tag)) == one
        assert [event.code for event in shop.events if isinstance(event, Notice)] == ["tag-restored"]
    assert [event.deed for event in registry.events(READER, 0, model)][-2:] == [Deed.RESTORE] * 2


def test_tags_of_before_the_facade_are_taken_in(shop: Shop, model: RepoId) -> None:
    root = shop.root(model.name)
    digest = str(push_files(root, "1.0.0", model_pack(FILES), FILES))
    push_files(root, "stable", model_pack(FILES), FILES)
    registry = shop.registry()
    assert registry.resolve(READER, model, "^1").aliases == ("stable",)
    with pytest.raises(ConflictError):
        registry.publish(ADMIN, model, Version.parse("1.0.0"), shop.upload(ADMIN, changed(b"{}"), model))
    # To where it stands it is not moved, and nobody is told so.
    assert registry.move(PROMOTER, model, "stable", "1.0.0", digest).digest == digest
    assert [event.deed for event in registry.events(READER, 0, model)] == [Deed.ADOPT, Deed.ADOPT]


def test_tags_of_what_is_no_model_are_passed_over(shop: Shop, model: RepoId) -> None:
    root = shop.root(model.name)
    image = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": entry(b"{}"), "layers": [entry(b"layer")]}
    push(root, "3.0.0", image, b"layer")
    digest = shop.publish("1.0.0", FILES, model=model)
    assert shop.registry().resolve(READER, model, "*").digest == digest
    assert list(map(str, shop.registry().ledger(READER, model).versions)) == ["1.0.0"]


def test_only_what_was_uploaded_by_this_publisher_is_published(shop: Shop, model: RepoId) -> None:
    other = somebody(Role.PUBLISHER, "other")
    digest = shop.upload(other, FILES, model)
    with pytest.raises(NotFoundError):
        shop.registry().publish(PUBLISHER, model, Version.parse("1.0.0"), digest)
    # A manifest alone, whose blobs this publisher does not have, makes nothing of others' its own.
    secret = shop.publish("1.0.0", {"secret.safetensors": b"secret"}, model=model_named(f"{model.name}-secret"))
    with pytest.raises(NotFoundError):
        shop.registry().publish(PUBLISHER, model, Version.parse("1.0.0"), secret)
    assert shop.registry().publish(other, model, Version.parse("1.0.0"), digest)


def test_a_gate_keeps_an_alias_where_it_is(shop: Shop, model: RepoId) -> None:
    gate = AliasGate(aliases=("prod",), config_keys=("architectures",), same_tokenizer=True, safe_formats=True)
    good = FILES | {"tokenizer.json": b"1"}
    shop.publish("1.0.0", good, model=model)
    shop.publish("1.0.1", good | {"tokenizer.json": b"2"}, model=model)
    shop.publish("1.0.2", good | {"pytorch_model.bin": b"pickle"}, model=model)
    shop.publish("1.0.3", good | {"config.json": b"[]"}, model=model)
    shop.publish("1.0.4", good | {"model.safetensors": b"better"}, model=model)
    registry = shop.registry(gate)
    first = registry.move(PROMOTER, model, "prod", "1.0.0", "").digest
    for patch, rule in ((1, "tokenizer"), (2, "formats"), (3, "config_keys")):
        with pytest.raises(GateError, match=rule):
            registry.move(PROMOTER, model, "prod", f"1.0.{patch}", first)
        assert not registry.check(READER, model, f"1.0.{patch}", "prod").is_passed
        registry.move(PROMOTER, model, f"canary-{patch}", f"1.0.{patch}", "")
    assert registry.resolve(READER, model, "prod").digest == first
    registry.move(PROMOTER, model, "prod", "1.0.4", first)


def test_a_difference_names_files_bytes_and_keys(shop: Shop, model: RepoId) -> None:
    shop.publish("1.0.0", FILES | {"a.txt": b"a"}, model=model)
    shop.publish("1.1.0", FILES | {"config.json": b'{"architectures": ["B"]}', "b.txt": b"bb"}, model=model)
    found = shop.registry().difference(READER, model, "1.0.0", "^1")
    assert [(file.path, file.before, file.after) for file in found.files] == [
        ("a.txt", 1, None),
        ("b.txt", None, 2),
        ("config.json", 24, 24),
    ]
    assert [(key.key, key.before, key.after) for key in found.config] == [("architectures", '["A"]', '["B"]')]
    assert (found.same, found.bytes_to_fetch) == (1, 26)


def test_nobody_learns_of_models_that_are_not_for_them(shop: Shop, model: RepoId) -> None:
    shop.publish("1.0.0", FILES, model=model)
    stranger, registry = somebody(Role.READER, namespace="other"), shop.registry()
    absent = model_named("team/absent")
    said = []
    for one in (model, absent):
        with pytest.raises(NotAllowedError) as caught:
            registry.resolve(stranger, one, "1.0.0")
        said.append(caught.value.message.replace(one.name, "X"))
    assert said[0] == said[1]
    assert model not in registry.models(stranger)
    assert model in registry.models(READER)
    assert model.name not in {event.model for event in registry.events(stranger)}
    with pytest.raises(NotAllowedError):
        registry.events(stranger, 0, model)
    with pytest.raises(NotAllowedError):
        registry.resolve(Subject(), model)


def test_uploads_have_a_repository_for_each_publisher(shop: Shop, model: RepoId) -> None:
    registry = shop.registry()
    assert registry.uploads(PUBLISHER, model) == f"{shop.server.url}/{upload_repository('publisher', model)}"
    for who in (READER, PROMOTER):
        with pytest.raises(NotAllowedError):
            registry.uploads(who, model)


def together(calls: list[Callable[[], object]]) -> list[object]:
    """What the calls return or raise, made at the same time."""
    told: list[object] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(index: int) -> None:
        gate.wait()
        try:
            told[index] = calls[index]()
        except Exception as error:
            told[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return told


def test_a_gate_is_not_passed_by_removing_the_alias_first(shop: Shop, model: RepoId) -> None:
    one = shop.publish("1.0.0", FILES | {"tokenizer.json": b"1"}, model=model)
    shop.publish("2.0.0", FILES | {"tokenizer.json": b"2"}, model=model)
    registry = shop.registry(AliasGate(same_tokenizer=True))
    registry.move(PROMOTER, model, "prod", "1.0.0", "")
    with pytest.raises(GateError):
        registry.move(PROMOTER, model, "prod", "2.0.0", one)
    registry.remove(PROMOTER, model, "prod", one)
    with pytest.raises(GateError):
        registry.move(PROMOTER, model, "prod", "2.0.0", "")
    assert registry.move(PROMOTER, model, "prod", "1.0.0", "").digest == one


def test_an_alias_stands_for_what_was_published_alone(shop: Shop, model: RepoId) -> None:
    shop.publish("1.0.0", FILES, model=model)
    client = shop.root(model.name)
    other = str(attach(client, client.manifest("1.0.0").descriptor, b"sig", "application/x-sig"))
    unknown = str(push_files(client, "unknown", model_pack({"a": b"a"}), {"a": b"a"}))
    client.delete(unknown)
    for wanted in (other, unknown):
        with pytest.raises(NotFoundError):
            shop.registry().move(PROMOTER, model, "prod", wanted, "")
    assert shop.registry().known(READER, model).aliases == {}


def test_a_version_that_the_registry_has_lost_is_not_moved_to(shop: Shop, model: RepoId) -> None:
    digest = shop.publish("1.0.0", FILES, model=model)
    registry, root = shop.registry(), shop.root(model.name)
    root.delete(digest)
    with pytest.raises(NotFoundError):
        registry.move(PROMOTER, model, "prod", digest, "")
    assert registry.known(READER, model).aliases == {}


def test_an_alias_that_differs_by_case_alone_is_refused(shop: Shop, model: RepoId) -> None:
    one = shop.publish("1.0.0", FILES, model=model)
    registry = shop.registry()
    registry.move(PROMOTER, model, "prod", "1.0.0", "")
    with pytest.raises(UsageError, match="'prod'"):
        registry.move(PROMOTER, model, "Prod", "1.0.0", "")
    registry.remove(PROMOTER, model, "prod", one)
    assert registry.move(PROMOTER, model, "Prod", "1.0.0", "").aliases == ("Prod",)


@pytest.mark.parametrize("tag", ["1.x", "v1", "a" * 40])
def test_a_tag_of_before_that_means_something_else_is_no_alias(shop: Shop, model: RepoId, tag: str) -> None:
    push_files(shop.root(model.name), tag, model_pack(FILES), FILES)
    digest = shop.publish("1.2.0", FILES | {"config.json": b"{}"}, model=model)
    registry = shop.registry()
    assert registry.resolve(READER, model, "^1").digest == registry.resolve(READER, model, "1.x").digest == digest
    assert registry.ledger(READER, model).aliases == {}


@pytest.mark.parametrize("wrong", [1, 1_000_000])
def test_a_manifest_tells_the_sizes_that_its_blobs_have(shop: Shop, model: RepoId, wrong: int) -> None:
    for part in ("layers", "config"):
        made = model_pack(FILES)
        entry = made["layers"][1] if part == "layers" else made["config"]
        entry["size"] = wrong
        client = shop.client(PUBLISHER, upload_repository(PUBLISHER.name, model))
        digest = str(push_files(client, "upload", made, FILES))
        with pytest.raises(UsageError, match="bytes"):
            shop.registry().publish(PUBLISHER, model, Version.parse("1.0.0"), digest)
        with pytest.raises(UsageError, match="bytes"):
            shop.registry().put_manifest(PUBLISHER, model, json.dumps(made).encode(), OCI_MANIFEST)
    assert shop.registry().known(READER, model).is_empty


def test_a_manifest_takes_the_blobs_of_other_versions_along(shop: Shop, model: RepoId) -> None:
    shop.publish("1.0.0", FILES, model=model)
    registry = shop.registry()
    upload = shop.root(upload_repository(PUBLISHER.name, model))
    made = model_pack(FILES)
    for blob in (made["config"]["digest"], *(layer["digest"] for layer in made["layers"])):
        assert registry.upload(PUBLISHER, model, Digest.parse(blob)).is_there
        assert upload.blob_size(Digest.parse(blob)) is None
    digest = registry.put_manifest(PUBLISHER, model, json.dumps(made).encode(), OCI_MANIFEST)
    assert registry.publish(PUBLISHER, model, Version.parse("1.0.1"), digest)


def test_who_follows_goes_on_behind_all_that_was_looked_at(shop: Shop, model: RepoId) -> None:
    registry, stranger = shop.registry(), somebody(Role.READER, namespace="nowhere")
    shop.publish("1.0.0", FILES, model=model)
    newest = registry.newest_event(READER)
    assert newest == registry.newest_event(READER, model) > 0 == registry.newest_event(stranger)
    for one in (None, model):
        with pytest.raises(NotAllowedError):
            registry.newest_event(Subject(), one)
    assert registry.news(stranger, None, 0, 10) == ((), newest)
    (first,), at = registry.news(READER, model, 0, 1)
    assert (first.name, at) == ("1.0.0", first.number)
    assert registry.news(READER, model, at, 10) == ((), newest)
    # A number from another trail begins at the first event of this one.
    assert registry.news(READER, model, newest + 100, 1) == ((first,), at)


def test_a_model_that_nobody_published_is_told_as_that(shop: Shop) -> None:
    registry, nothing = shop.registry(), model_named("team/nothing")
    asks: tuple[Callable[[], object], ...] = (
        lambda: registry.resolve(READER, nothing),
        lambda: registry.resolve(READER, nothing, "^1"),
        lambda: registry.resolve(READER, nothing, "0" * 40),
        lambda: registry.ledger(READER, nothing),
        lambda: registry.remove(PROMOTER, nothing, "prod", ""),
        lambda: registry.sign(PUBLISHER, nothing, Version.parse("1.0.0"), b"{}"),
    )
    for ask in asks:
        with pytest.raises(RepoAbsentError, match="there is no model team/nothing") as caught:
            ask()
        assert caught.value.hint is not None
        assert "glm-aria push DIR reg://team/nothing@1.0.0" in caught.value.hint


def test_a_model_without_a_release_says_what_it_has(shop: Shop, model: RepoId) -> None:
    shop.publish("2.0.0-beta.1", FILES, model=model)
    with pytest.raises(NotFoundError, match="no version that is released") as caught:
        shop.registry().resolve(READER, model)
    assert caught.value.hint == "it has 2.0.0-beta.1"
