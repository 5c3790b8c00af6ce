"""Manifests: what is read as files, what is refused, and that what is written is read back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.files import Digest, RepoTree
from orchestrator.errors import GlmAriaError, NotFoundError, ProtocolError, UnsafeError
from orchestrator.oci.manifest import (
    DOCKER_MANIFEST,
    EMPTY,
    MODEL,
    OCI_MANIFEST,
    TITLE,
    Descriptor,
    Index,
    Manifest,
    digest_of,
    files_of,
    model_of,
    parse,
    render,
)
from tests.oci.manifests import artifact, cnai, entry, index, layer, model_pack, sha256, text

FILES = {"config.json": b"{}\n", "sub/model.safetensors": b"weights"}


def read(value: dict[str, Any], media_type: str = OCI_MANIFEST) -> Manifest:
    found = parse(text(value), media_type, "registry.example")
    assert isinstance(found, Manifest)
    return found


def listed(value: dict[str, Any]) -> dict[str, str]:
    files, _ = files_of(read(value), "team/model", "registry.example")
    return {file.path: str(file.digest) for file in files}


@pytest.mark.parametrize(
    "value",
    [
        model_pack(FILES),
        cnai(FILES),
        artifact(FILES),
        {**artifact(FILES), "mediaType": DOCKER_MANIFEST},
        {name: part for name, part in artifact(FILES).items() if name not in ("mediaType", "artifactType")},
    ],
    ids=["ModelPack", "cnai", "ORAS", "docker", "first ORAS"],
)
def test_files_are_layers_with_a_path(value: dict[str, Any]) -> None:
    assert listed(value) == {path: sha256(content) for path, content in FILES.items()}


def test_a_path_of_the_model_wins_over_a_title() -> None:
    both = entry(b"x", annotations={TITLE: "title", "org.cncf.model.filepath": "path"})
    assert list(listed({**model_pack({}), "layers": [both]})) == ["path"]


def test_a_layer_without_a_path_is_told_and_left_out() -> None:
    value = model_pack(FILES)
    value["layers"].append(entry(b"nothing", "application/x"))
    files, unnamed = files_of(read(value), "team/model", "registry.example")
    assert len(files) == 2
    assert unnamed == (f"{sha256(b'nothing')[:19]} ('application/x')",)


@pytest.mark.parametrize("path", ["../up", "/abs", "a/../../b", ".git/config", "a\nb", "a\\b", ""])
def test_a_path_that_must_not_reach_a_disk_is_refused(path: str) -> None:
    with pytest.raises(UnsafeError):
        listed(model_pack({path: b"x"}))


@pytest.mark.parametrize(
    ("text_before", "text_after"),
    [
        ('"layers":', '"Layers":[],"layers":'),
        ('"layers":', '"layers":[],"layers":'),
        ('"layers":', '"layer\u017f":[],"layers":'),  # the long s is an s to Go
        ('"annotations":{"org.cncf', '"Annotations":{"org.cncf'),
        ('"annotations":{', '"annotations":{"org.cncf.model.filepath":"safe",'),
        ('"digest":', '"DIGEST":"sha256:00","digest":'),
    ],
)
def test_what_two_readers_would_read_differently_is_refused(text_before: str, text_after: str) -> None:
    """docker, skopeo and oras take keys of any case, and the last of several."""
    body = render(read(model_pack(FILES))).decode()
    assert text_before in body
    changed = body.replace(text_before, text_after, 1).encode()
    with pytest.raises(ProtocolError, match="no JSON with one meaning"):
        parse(changed, OCI_MANIFEST, "registry.example")
    inner = render(Index((Descriptor(OCI_MANIFEST, digest_of(b""), 0),))).decode()
    with pytest.raises(ProtocolError, match="no JSON with one meaning"):
        parse(inner.replace('"manifests":', '"Manifests":[],"manifests":').encode(), OCI_MANIFEST, "registry.example")


def test_two_layers_of_one_path_are_refused_as_a_listing() -> None:
    files, _ = files_of(read(model_pack([("a", b"1"), ("a", b"2")])), "m", "r")
    with pytest.raises(UnsafeError, match="twice"):
        RepoTree.checked("0" * 40, files)


@pytest.mark.parametrize(
    "odd",
    [
        layer("model.safetensors", b"x", "application/vnd.cncf.model.weight.v1.tar"),
        layer("model.safetensors", b"x", "application/vnd.cnai.model.weight.v1.tar+gzip"),
        entry(b"x", annotations={TITLE: "folder", "io.deis.oras.content.unpack": "true"}),
    ],
)
def test_archives_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="archive"):
        listed({**model_pack(FILES), "layers": [odd]})


@pytest.mark.parametrize("layers", [[], [entry(b"x", "application/vnd.oci.image.layer.v1.tar+gzip")]])
def test_an_image_is_no_model(layers: list[object]) -> None:
    with pytest.raises(NotFoundError, match="no model"):
        listed({**artifact({}), "layers": layers})


def test_an_index_with_one_model_leads_to_it() -> None:
    model, other = entry(b"m", OCI_MANIFEST, artifactType=MODEL), entry(b"o", OCI_MANIFEST)
    attached = entry(b"a", OCI_MANIFEST, annotations={"vnd.docker.reference.type": "attestation-manifest"})
    for entries in ([model, other], [other, model, attached], [model], [model, attached]):
        found = parse(text(index(*entries)), "", "r")
        assert isinstance(found, Index)
        assert str(model_of(found, "team/model", "r").digest) == model["digest"]


@pytest.mark.parametrize("entries", [[], [entry(b"1", OCI_MANIFEST), entry(b"2", OCI_MANIFEST)], [entry(b"1", "x")]])
def test_an_index_without_one_model_is_refused(entries: list[dict[str, Any]]) -> None:
    found = parse(text(index(*entries)), "", "r")
    assert isinstance(found, Index)
    with pytest.raises(NotFoundError):
        model_of(found, "team/model", "r")


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws"},
        {**model_pack({}), "layers": None},
        {**model_pack({}), "layers": [1]},
        {**model_pack({}), "config": None},
        {**model_pack({}), "annotations": []},
        {**model_pack({}), "annotations": {"a": 1}},
        {**model_pack({}), "layers": [{**entry(b""), "digest": "sha512:00"}]},
        {**model_pack({}), "layers": [{**entry(b""), "digest": "sha256:00"}]},
        {**model_pack({}), "layers": [{**entry(b""), "digest": "sha256:../../x"}]},
        {**model_pack({}), "layers": [{**entry(b""), "size": -1}]},
        {**model_pack({}), "layers": [{**entry(b""), "size": 1 << 60}]},
        {**model_pack({}), "artifactType": 1},
    ],
)
def test_what_is_no_manifest_is_refused(value: object) -> None:
    with pytest.raises((ProtocolError, UnsafeError)):
        parse(text(value), "", "registry.example")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(GlmAriaError):
        parse(body, OCI_MANIFEST, "registry.example")


_ANNOTATIONS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)
_ENTRIES = st.builds(
    Descriptor,
    st.text(min_size=1, max_size=12),
    st.integers(0, 2**256 - 1).map(lambda number: Digest.parse(f"sha256:{number:064x}")),
    st.integers(0, 1 << 40),
    _ANNOTATIONS,
    st.none() | st.text(min_size=1, max_size=8),
)


@given(
    st.builds(
        Manifest,
        _ENTRIES,
        st.lists(_ENTRIES, max_size=3).map(tuple),
        _ANNOTATIONS,
        st.none() | st.text(min_size=1, max_size=8),
        st.none() | _ENTRIES,
    )
)
def test_what_is_written_is_read_back(manifest: Manifest) -> None:
    body = render(manifest)
    assert parse(body, "", "r") == manifest
    assert digest_of(body) == digest_of(render(manifest))


def test_the_empty_configuration_is_the_one_of_the_specification() -> None:
    assert str(digest_of(b"{}")) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert EMPTY == "application/vnd.oci.empty.v1+json"
