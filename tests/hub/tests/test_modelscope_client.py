"""The real modelscope_hub against the ModelScope face, and the oddities of that API on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.hub.loopback import LoopbackHub, Site
from tests.hub.repos import Repo

modelscope_hub = pytest.importorskip("modelscope_hub")


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[LoopbackHub, Site]]:
    tiny = Repo("model", "org/tiny", {"config.json": b"{}\n", "sub/w.safetensors": b"w" * 100_000, "README.md": b"x"})
    wide = Repo("model", "org/wide", {f"d{n % 3}/f{n}.txt": b"%d" % n for n in range(40)})
    data = Repo("dataset", "org/data", {f"f{n:03d}.txt": b"%d" % n for n in range(250)})
    closed = Repo("model", "org/closed", {"a": b"a"}, private=True)
    with LoopbackHub([tiny, wide, data, closed], tokens={"ms-in": {"org/closed"}}) as hub:
        yield hub, hub.modelscope(aliases={"Org/tiny": "org/tiny"}, listing_cap=20)


def client(site: Site, home: Path, token: str | None = None):  # type: ignore[no-untyped-def]
    config = modelscope_hub.HubConfig(
        endpoint=site.url, token=token, cache_dir=home / "cache", config_dir=home / "conf"
    )
    return modelscope_hub.HubApi(config)


@pytest.mark.parametrize("name", ["org/tiny", "Org/tiny"])
def test_a_snapshot_is_downloaded(served: tuple[LoopbackHub, Site], tmp_path: Path, name: str) -> None:
    hub, site = served
    hub.log.reset()
    folder = client(site, tmp_path).download_repo(name, "model", local_dir=tmp_path / "out")
    assert (folder / "sub" / "w.safetensors").read_bytes() == b"w" * 100_000
    assert (folder / "config.json").read_bytes() == b"{}\n"
    assert hub.log.bytes_sent(face="modelscope-cdn") == 100_000


def test_a_dataset_is_listed_in_pages(served: tuple[LoopbackHub, Site], tmp_path: Path) -> None:
    _, site = served
    folder = client(site, tmp_path).download_repo("org/data", "dataset", local_dir=tmp_path / "out")
    assert len(list(folder.glob("f*.txt"))) == 250


def test_missing_repo_is_an_error_in_a_200(served: tuple[LoopbackHub, Site], tmp_path: Path) -> None:
    _, site = served
    answer = requests.get(f"{site.url}/api/v1/models/org/absent/repo/files?Revision=master&Recursive=True", timeout=5)
    assert (answer.status_code, answer.json()["Success"], answer.json()["Code"]) == (200, False, 10010205001)


def test_token_opens_a_private_model(served: tuple[LoopbackHub, Site], tmp_path: Path) -> None:
    hub, site = served
    hub.log.reset()
    folder = client(site, tmp_path, "ms-in").download_repo("org/closed", "model", local_dir=tmp_path / "out")
    assert (folder / "a").read_bytes() == b"a"
    assert hub.log.tokens(face="modelscope") == {"ms-in"}


def listing(site: Site, **query: str) -> list[str]:
    answer = requests.get(f"{site.url}/api/v1/models/org/wide/repo/files", params=query, timeout=5).json()
    return [entry["Path"] for entry in answer["Data"]["Files"]]


def test_listing_is_cut_silently_and_lower_case_recursive_ignored(served: tuple[LoopbackHub, Site]) -> None:
    _, site = served
    assert len(listing(site, Revision="master", Recursive="True")) == 20
    assert listing(site, Revision="master", recursive="True") == ["d0", "d1", "d2"]
    assert len(listing(site, Revision="master", Recursive="True", Root="d1")) == 13


def test_small_file_ignores_range_and_lfs_honours_it(served: tuple[LoopbackHub, Site]) -> None:
    _, site = served
    base = f"{site.url}/models/org/tiny/resolve/master"
    small = requests.get(f"{base}/config.json", headers={"Range": "bytes=1-1"}, timeout=5)
    assert (small.status_code, small.content) == (200, b"{}\n")
    large = requests.get(f"{base}/sub/w.safetensors", headers={"Range": "bytes=5-9"}, timeout=5)
    assert (large.status_code, large.content) == (206, b"wwwww")
    assert large.history[0].status_code == 302


def test_a_search_is_what_the_client_reads(served: tuple[LoopbackHub, Site], tmp_path: Path) -> None:
    _, site = served
    found = client(site, tmp_path).list_repos("model", search="ti", page_size=5)
    assert [(one.repo_id, one.file_size, one.gated) for one in found] == [("Org/tiny", 100_004, False)]
    assert found.items[0].last_modified.year == 2023
    assert {one.repo_id for one in client(site, tmp_path).list_repos("model")} == {"Org/tiny", "org/wide"}
