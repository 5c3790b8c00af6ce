"""Options of a download: the tuning of aria2.conf, our own names, and nothing that concerns the whole daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.aria2.options import allocation_for, download_options, tuning
from orchestrator.aria2.rpc import Rpc

CONF = Path(__file__).parents[2] / "aria2.conf"
GID = "0123456789abcdef"


def conf() -> dict[str, str]:
    lines = [line.strip() for line in CONF.read_text("utf-8").splitlines()]
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def options(part: Path, **changes: object) -> dict[str, str]:
    wanted = {"size": 1 << 30, "connections": 32, "per_server": 16, "allocation": "falloc"} | changes
    return download_options(part, GID, **wanted)  # type: ignore[arg-type]


def test_the_tuning_is_that_of_the_file() -> None:
    assert tuning().items() <= conf().items()
    assert set(conf()) - set(tuning()) == {
        "max-concurrent-downloads",
        "disk-cache",
        "socket-recv-buffer-size",
        "enable-dht",
        "enable-dht6",
        "bt-enable-lpd",
    }


def test_what_a_download_is_told(tmp_path: Path) -> None:
    told = options(tmp_path / "abc")
    assert (told["dir"], told["out"], told["gid"]) == (str(tmp_path), "abc", GID)
    assert (told["split"], told["max-connection-per-server"]) == ("32", "16")
    assert (told["min-split-size"], told["piece-length"]) == ("1048576", "1048576")
    assert told["file-allocation"] == "falloc"
    assert options(tmp_path / "abc", size=1000)["file-allocation"] == "none"
    assert options(tmp_path / "abc", per_server=99)["max-connection-per-server"] == "16"
    assert "all-proxy" not in told
    assert options(tmp_path / "abc", proxy="http://p:1")["all-proxy"] == "http://p:1"
    assert not {"header", "referer", "load-cookies", "http-user", "continue"} & set(told)


def test_aria2_takes_each_of_them_for_a_download(rpc: Rpc, tmp_path: Path) -> None:
    told = options(tmp_path / "abc") | {"pause": "true"}
    before = rpc._call("aria2.getGlobalOption")
    assert rpc.add_all([(["http://127.0.0.1:9/x"], told)]) == [None]
    kept = rpc._call("aria2.getOption", GID)
    for name in set(told) - {"gid", "pause"}:
        assert kept.get(name) == told[name], f"aria2 does not know {name!r} as an option of one download"
    assert rpc._call("aria2.getGlobalOption") == before
    rpc.remove([GID])


@pytest.mark.parametrize("where", ["tmp_path", "/dev/shm"])
def test_allocation(tmp_path: Path, where: str) -> None:
    folder = tmp_path if where == "tmp_path" else Path(where)
    if folder.is_dir():
        assert allocation_for(folder) in ("falloc", "trunc")
        assert list(tmp_path.iterdir()) == []
