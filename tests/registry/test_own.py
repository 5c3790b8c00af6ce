"""The registry's models as those of its own server: which names are its, and what revisions mean."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.catalogs.oci import OciCatalog
from orchestrator.core.dialects import OWN
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.core.sources import Source, site_of
from orchestrator.errors import NotFoundError, SourcesDownError
from orchestrator.oci.registries import Registries
from orchestrator.registry.audit import Trail
from orchestrator.registry.core import Registry
from orchestrator.registry.ledger import Ledgers
from orchestrator.registry.names import model_named
from orchestrator.registry.own import OwnCatalog, OwnModels
from orchestrator.registry.storage import Storage
from orchestrator.registry.tokens import Signer, asked_for
from orchestrator.registry.versions import Version
from orchestrator.rights import Role
from tests.registry.shop import ADMIN, Shop, auth_of, shop_in, somebody
from tests.servers.registry import Answered, SmallServer

FILES = {"config.json": b"{}", "model.safetensors": b"weights"}


def own_models(shop: Shop, folder: Path | None = None, *, clock: Callable[[], float] = lambda: 0.0) -> OwnModels:
    """The models of a server with this shop; with a folder of its own, of one that has just been made."""
    folder = folder or shop.folder
    return OwnModels(shop.registry(), Ledgers(folder, folder), folder, folder, clock=clock)


def repo(name: str, kind: RepoType = RepoType.MODEL) -> RepoId:
    return RepoId(kind, name)


def test_a_name_is_the_registrys_by_its_namespace(shop: Shop, model: RepoId, tmp_path: Path) -> None:
    shop.publish("1.0.0", FILES, model=model)
    for own in (own_models(shop), own_models(shop, tmp_path)):
        assert own.has(model)
        assert own.has(repo("team/never-pushed"))
        assert own.has(repo("Team/Never-Pushed"))
        assert not own.has(repo("org/model"))
        assert not own.has(repo("team/rows", RepoType.DATASET))
        assert not own.has(repo("gpt2"))


def test_a_namespace_is_known_as_soon_as_somebody_publishes_there(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:
        own, fresh = own_models(shop), model_named("fresh/model")
        assert not own.has(fresh)
        assert own.knows(fresh) is False
        shop.publish("1.0.0", FILES, model=fresh)
        assert own.knows(fresh) is True


def test_what_was_pushed_past_the_facade_is_known_after_a_minute(tmp_path: Path) -> None:
    now = [0.0]
    with shop_in(tmp_path) as shop:
        own, fresh = own_models(shop, clock=lambda: now[0]), model_named("fresh/model")
        assert not own.has(fresh)
        shop.upload_to("fresh/model", FILES)
        now[0] = 59.0
        assert own.knows(fresh) is False
        now[0] = 60.0
        assert own.knows(fresh) is None
        assert own.has(fresh)


def test_a_registry_that_is_down_keeps_its_namespaces(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:
        shop.upload_to("team/model", FILES)
        assert own_models(shop).has(repo("team/model"))
        shop.server.kill()
        again = own_models(shop)
        assert again.has(repo("team/model"))
        assert not again.has(repo("org/model"))
        (shop.folder / "namespaces.json").unlink()
        with pytest.raises(SourcesDownError, match="nothing is asked for at the Hub"):
            own_models(shop).has(repo("org/model"))


def test_offline_the_registry_is_not_asked(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:
        own = OwnModels(shop.registry(), Ledgers(tmp_path, tmp_path), shop.folder, shop.folder, offline=True)
        shop.server.kill()
        assert not own.has(repo("team/model"))


def test_names_are_aliases_and_versions(shop: Shop, model: RepoId) -> None:
    digests = {version: shop.publish(version, {**FILES, "v": version.encode()}, model=model) for version in VERSIONS}
    registry = shop.registry()
    registry.move(ADMIN, model, "prod", "1.2.3", "")
    names = own_models(shop).names(model)
    assert [(one.name, one.commit) for one in names.tags] == [(one, commit(digests[one])) for one in VERSIONS[::-1]]
    wanted = {"main": commit(digests["1.10.0"]), "prod": commit(digests["1.2.3"])}
    assert {one.name: one.commit for one in names.branches} == wanted
    assert own_models(shop).models(somebody(Role.READER, namespace="other")) == ()
    assert model in own_models(shop).models(somebody(Role.READER))
    assert own_models(shop).is_there(model)
    assert not own_models(shop).is_there(repo("team/never-pushed"))


@pytest.mark.parametrize(
    ("revision", "version"),
    [
        ("1.2.3", "1.2.3"),
        ("^1.2", "1.10.0"),
        ("~1.2", "1.2.3"),
        (">=1.2 <1.10", "1.9.0"),
        ("prod", "1.2.3"),
        ("main", "1.10.0"),
        ("2.0.0-rc.1", "2.0.0-rc.1"),
    ],
)
def test_a_revision_is_a_version_a_range_an_alias_or_main(
    full: tuple[Shop, RepoId], revision: str, version: str
) -> None:
    shop, model = full
    digest = shop.registry().ledger(ADMIN, model).versions[Version.parse(version)].digest
    catalog = own_catalog(shop)
    found = catalog.revision(Ref(model, revision, OWN))
    assert (found.commit, found.is_restricted, found.may_go_back) == (commit(digest), True, True)
    assert {file.path for file in catalog.tree(model, found.commit).files} >= set(FILES)
    assert catalog.revision(Ref(model, found.commit, OWN)) == found
    assert catalog.revision(Ref(model, digest, OWN)).commit == found.commit


def test_main_is_an_alias_of_that_name_before_the_newest_release(shop: Shop, model: RepoId) -> None:
    digests = [shop.publish(version, {**FILES, "v": version.encode()}, model=model) for version in VERSIONS[:2]]
    registry, catalog = shop.registry(), own_catalog(shop)
    assert catalog.revision(Ref(model, "main", OWN)).commit == commit(digests[1])
    registry.move(ADMIN, model, "main", VERSIONS[0], "")
    assert catalog.revision(Ref(model, "main", OWN)).commit == commit(digests[0])
    assert catalog.revision(Ref(model, "master", OWN)).commit == commit(digests[1])


def test_nothing_is_there_but_what_was_published(full: tuple[Shop, RepoId]) -> None:
    shop, model = full
    for name, revision in ((model.name, "^9"), ("team/never-pushed", "main"), ("Team/Odd", "main")):
        with pytest.raises(NotFoundError):
            own_catalog(shop).revision(Ref(repo(name), revision, OWN))


def test_a_registry_that_does_not_believe_us_is_none_that_answers(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:
        shop.publish("1.0.0", FILES)
        shop.server.kill()
        (tmp_path / "another").mkdir(mode=0o700)
        shop.server.believe(auth_of(Signer(tmp_path / "another", tmp_path / "another")))
        shop.server.start()
        with pytest.raises(SourcesDownError, match="does not believe"):
            own_catalog(shop).revision(Ref(repo("team/model"), "1.0.0", OWN))


VERSIONS = ("1.2.3", "1.9.0", "1.10.0", "2.0.0-rc.1")


@pytest.fixture(scope="module")
def full(shop: Shop) -> tuple[Shop, RepoId]:
    """A model with all versions, and an alias."""
    model = model_named(f"team/full-{secrets.token_hex(6)}")
    for version in VERSIONS:
        shop.publish(version, {**FILES, "v": version.encode()}, model=model)
    shop.registry().move(ADMIN, model, "prod", "1.2.3", "")
    return shop, model


def own_catalog(shop: Shop) -> OwnCatalog:
    registries = Registries(shop.net)
    registries.issue_for(shop.server.url, lambda scopes: shop.signer.token("facade", asked_for(scopes), "shop"))

    def follow(ref: Ref) -> OciCatalog:
        site = site_of(ref)
        assert site is not None
        return OciCatalog(site, registries)

    known: dict[str, OciCatalog] = {}
    return OwnCatalog(
        Source(OWN.name, shop.server.url, OWN),
        shop.registry(),
        lambda ref: known.setdefault(str(ref.site), follow(ref)),
        lambda _: True,
    )


def commit(digest: str) -> str:
    return digest.removeprefix("sha256:")[:40]


def test_what_failed_takes_no_namespace(shop: Shop) -> None:
    own, model = own_models(shop), model_named("google/gemma")
    assert not own.has(model)
    failing: tuple[Callable[[], object], ...] = (
        lambda: shop.registry().sign(ADMIN, model, Version.parse("1.0.0"), b"x"),
        lambda: shop.registry().publish(ADMIN, model, Version.parse("1.0.0"), "sha256:" + "0" * 64),
        lambda: shop.registry().move(ADMIN, model, "prod", "1.0.0", ""),
        lambda: shop.registry().remove(ADMIN, model, "prod", ""),
        lambda: shop.registry().resolve(ADMIN, model, "1.0.0"),
    )
    for call in failing:
        with pytest.raises(NotFoundError):
            call()
        for one in (own, own_models(shop)):
            assert not one.has(repo("google/other"))


def test_a_namespace_is_not_forgotten_by_an_answer_that_lacks_it(tmp_path: Path) -> None:
    now = [0.0]
    with shop_in(tmp_path) as shop:
        shop.upload_to("secret/model", FILES)
        assert own_models(shop).has(repo("secret/model"))
        lists = Answers()
        with SmallServer(lists.answer) as other:
            registry = Registry(Storage(Registries(shop.net), other.url), shop.uploads, shop.keeper, Trail(shop.folder))
            own = OwnModels(registry, Ledgers(tmp_path, tmp_path), shop.folder, shop.folder, clock=lambda: now[0])
            for status, body in ((404, b""), (200, b'{"repositories": null}'), (200, b'{"repositories": ["a/b"]}')):
                lists.given = Answered(status, body)
                now[0] += 100.0
                assert own.has(repo("secret/other"))
                assert not own.has(repo("org/model"))
            assert own.has(repo("a/other"))
            # Nobody has told yet, and this one does not.
            lists.given = Answered(404, b"")
            fresh = OwnModels(registry, Ledgers(tmp_path, tmp_path), tmp_path, tmp_path)
            with pytest.raises(SourcesDownError, match="nothing is asked for at the Hub"):
                fresh.has(repo("secret/model"))


class Answers:
    """A registry that answers everything with the same."""

    given: Answered

    def answer(self, _: object) -> Answered:
        return self.given
