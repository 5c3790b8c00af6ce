"""Descriptions of models: only of proven bytes, only of open models unless asked, and never with a secret."""

from __future__ import annotations

import hashlib
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.core.dialects import DEFAULT, Dialect
from orchestrator.core.refs import Target
from orchestrator.core.sources import Source
from orchestrator.errors import CannotCreateError, IntegrityError, NotAllowedError, NotFoundError
from orchestrator.exports.export import ExportKind, ExportReport, ExportRequest, export
from orchestrator.system.signals import Stop
from tests import plain
from tests.exports.test_torrent import bdecode
from tests.plain import FILES, MIRROR, ONE, REPO, ROOT

SPACE = "{urn:ietf:params:xml:ns:metalink}"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


def sources_of(kind: Dialect) -> Sequence[Source]:
    return (ROOT, MIRROR) if kind is DEFAULT else ()


def make(cache: Cache, path: Path, kind: ExportKind = ExportKind.TORRENT, **given: Any) -> ExportReport:
    return export(ExportRequest(Target(REPO, None), kind, path, **given), cache, sources_of, stop=Stop())


def test_a_torrent_has_all_files_and_each_source(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    report = make(cache, tmp_path / "m.torrent", trackers=("http://tracker.test/announce",))
    known, _ = bdecode(report.path.read_bytes())
    paths = sorted(FILES)
    assert [b"/".join(file["path"]).decode() for file in known["info"]["files"]] == paths
    assert known["info"]["name"] == ONE.encode()
    whole = b"".join(FILES[path] for path in paths)
    assert known["info"]["pieces"] == hashlib.sha1(whole).digest()
    assert known["url-list"] == [f"{source.url}/org/m/resolve/".encode() for source in (ROOT, MIRROR)]
    assert (report.files, report.size, report.addresses) == (len(FILES), len(whole), 2)


def test_the_same_model_makes_the_same_swarm(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    with plain.cache(tmp_path / "other") as other:
        plain.put(other)
        assert make(cache, tmp_path / "one").info_hash == make(other, tmp_path / "two").info_hash


def test_a_model_that_came_from_another_root_than_the_usual_one_has_the_address_there(
    cache: Cache, tmp_path: Path
) -> None:
    plain.put(cache)
    usual = replace(ROOT, url="https://usual.test")
    request = ExportRequest(Target(REPO, None), ExportKind.TORRENT, tmp_path / "m.torrent")
    export(request, cache, lambda kind: (usual, MIRROR) if kind is DEFAULT else (), stop=Stop())
    known, _ = bdecode(request.path.read_bytes())
    assert known["url-list"] == [f"{source.url}/org/m/resolve/".encode() for source in (ROOT, MIRROR)]


def test_a_metalink_has_sha256_and_all_addresses_of_each_file(cache: Cache, tmp_path: Path) -> None:
    plain.put(cache)
    report = make(cache, tmp_path / "m.meta4", ExportKind.METALINK)
    files = ET.fromstring(report.path.read_text()).findall(f"{SPACE}file")
    assert {file.get("name"): file.findtext(f"{SPACE}hash") for file in files} == {
        path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()
    }
    urls = [url.text for url in files[0].findall(f"{SPACE}url")]
    assert urls == [f"{source.url}/org/m/resolve/{ONE}/{files[0].get('name')}" for source in (ROOT, MIRROR)]
    assert (report.addresses, report.info_hash) == (2, None)


def test_a_path_is_a_text_of_the_document(cache: Cache, tmp_path: Path) -> None:
    odd = {"a & <b>'\".json": b"{}"}
    plain.put(cache, odd)
    report = make(cache, tmp_path / "m.meta4", ExportKind.METALINK)
    (file,) = ET.fromstring(report.path.read_text()).findall(f"{SPACE}file")
    assert file.get("name") == next(iter(odd))


@pytest.mark.parametrize("kind", list(ExportKind))
def test_a_closed_model_is_described_on_demand_only(cache: Cache, tmp_path: Path, kind: ExportKind) -> None:
    plain.put(cache, is_restricted=True)
    path = tmp_path / "m"
    with pytest.raises(NotAllowedError, match="gated or private"):
        make(cache, path, kind)
    assert not path.exists()
    report = make(cache, path, kind, is_closed_too=True)
    assert report.addresses == 0
    assert b"://" not in path.read_bytes().replace(b"xmlns=", b"")


def test_bytes_that_rotted_are_described_by_nobody(cache: Cache, tmp_path: Path) -> None:
    model = plain.put(cache)
    file = next(file for file in model.wanted.files if file.size > 100)
    blob = cache.layout.blob(REPO, file.digest)
    found = blob.stat()
    blob.chmod(0o600)
    data = bytearray(blob.read_bytes())
    data[5] ^= 1
    blob.write_bytes(data)
    os.utime(blob, ns=(found.st_atime_ns, found.st_mtime_ns))  # so the proof still seems to hold
    with pytest.raises(IntegrityError, match="corrupt"):
        make(cache, tmp_path / "m.torrent")
    assert not (tmp_path / "m.torrent").exists()


def test_what_is_not_there_is_told(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        make(cache, tmp_path / "m.torrent")
    plain.put(cache)
    with pytest.raises(CannotCreateError):
        make(cache, tmp_path / "nowhere" / "m.torrent")
