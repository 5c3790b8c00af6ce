"""Names in OCI registries."""

from __future__ import annotations

import pytest

from orchestrator.core.files import Digest
from orchestrator.core.registries import Repository, Site, commit_of, is_tag, parse_repository, scheme_of
from orchestrator.errors import UsageError

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("scheme", "text", "registry", "name", "named"),
    [
        ("oci", "registry.example/team/model:1.2.3", "https://registry.example", "team/model", "1.2.3"),
        ("oci", "Registry.Example:5000/a/b/model", "https://registry.example:5000", "a/b/model", None),
        ("oci", f"registry.example/model@sha256:{HEX}", "https://registry.example", "model", f"sha256:{HEX}"),
        ("oci", "127.0.0.1:5000/team/model", "http://127.0.0.1:5000", "team/model", None),
        ("oci", "localhost/team/model", "http://localhost", "team/model", None),
        ("oci", "[::1]:5000/team/model", "http://[::1]:5000", "team/model", None),
        ("oci+http", "registry.example/team/model", "http://registry.example", "team/model", None),
        ("oci+https", "127.0.0.1:5000/team/model", "https://127.0.0.1:5000", "team/model", None),
    ],
)
def test_a_name_is_taken_apart(scheme: str, text: str, registry: str, name: str, named: str | None) -> None:
    repository = Repository(registry, name)
    assert parse_repository(scheme, text) == (repository, named)
    assert scheme_of(registry) == scheme
    assert repository.url == f"{registry}/v2/{name}"
    assert parse_repository(*str(repository).split("://")) == (repository, None)


@pytest.mark.parametrize("host", ["registry.example", "v2.registry.example", "v2", "x.v2:5000", "[::1]:5000"])
@pytest.mark.parametrize("prefix", ["", "/more", "/v2", "/v2/more"])
def test_a_site_is_known_by_its_address(host: str, prefix: str) -> None:
    site = Site(f"https://{host}", prefix)
    assert Site.at(site.url) == site


@pytest.mark.parametrize(
    "text",
    [
        "registry.example",
        "registry.example/",
        "registry.example/Team/model",
        "registry.example/team//model",
        "registry.example/../model",
        "registry.example/team/model:1@sha256:00",
        "user:password@registry.example/team/model",
        "registry.example:99999/team/model",
        "registry.example/team/mo del",
        "/team/model",
        f"registry.example/{'a' * 256}",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_repository("oci", text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("1.2.3", True), ("_x", True), ("a" * 128, True), ("a" * 129, False), (".x", False), ("-x", False), ("", False)],
)
def test_tags_are_those_of_the_specification(text: str, *, is_one: bool) -> None:
    assert is_tag(text) is is_one


def test_a_manifest_has_the_first_40_digits_of_its_digest_as_its_commit() -> None:
    assert commit_of(Digest.parse(f"sha256:{HEX}")) == HEX[:40]
    with pytest.raises(UsageError):
        commit_of(Digest.parse(f"git-sha1:{HEX[:40]}"))
