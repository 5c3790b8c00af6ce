"""Options of a download: the tuning of aria2.conf, our own names, and nothing that concerns the whole daemon."""

from __future__ import annotations

from pathlib import Path

from orchestrator.aria2.options import download_options, tuning, way_options
from orchestrator.aria2.rpc import Rpc
from orchestrator.core.network.proxies import Proxy, Way
from tests.aria2.conftest import paused

CONF = Path(__file__).parents[2] / "aria2.conf"


def conf() -> dict[str, str]:
    lines = [line.strip() for line in CONF.read_text("utf-8").splitlines()]
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_tuning_is_that_of_the_file() -> None:
    assert tuning().items() <= conf().items()
    assert set(conf()) - set(tuning()) == {"max-concurrent-downloads", "disk-cache"}


def test_the_kernel_sizes_the_window_of_a_connection() -> None:
    """A buffer of our own ends that, and is cut to `net.core.rmem_max`: 212,992 bytes on most machines."""
    assert not [name for name in conf() if "buffer" in name]


def test_what_a_download_is_told(tmp_path: Path) -> None:
    told = download_options(tmp_path)
    assert told["dir"] == str(tmp_path)
    assert (told["split"], told["max-connection-per-server"], told["max-tries"]) == ("1", "1", "1")
    assert (told["min-split-size"], told["piece-length"]) == ("1048576", "1048576")
    assert told["file-allocation"] == "none"
    assert "out" not in told, "a metalink names its file"
    assert download_options(tmp_path, width=4)["max-connection-per-server"] == "4"
    assert not [name for name in told if "proxy" in name]
    assert download_options(tmp_path, way={"no-proxy": "x"})["no-proxy"] == "x"


def test_the_login_is_given_apart_from_the_address() -> None:
    told = way_options(Way(Proxy("p", 1, "me", "a@:/%"), None, ("localhost", ".lan")))
    assert (told["http-proxy"], told["http-proxy-user"], told["http-proxy-passwd"]) == ("http://p:1", "me", "a@:/%")
    assert (told["https-proxy"], told["https-proxy-user"], told["all-proxy"]) == ("", "", "")
    assert told["no-proxy"] == "localhost,.lan"
    assert way_options(None) == {}
    assert not {"header", "referer", "load-cookies", "http-user", "continue"} & set(told)


def test_aria2_takes_each_of_them_for_a_download(rpc: Rpc, tmp_path: Path) -> None:
    made = paused(tmp_path / "abc", url="http://127.0.0.1:9/x?a=1&b=%20")
    before = rpc._call("aria2.getGlobalOption")
    (gid,) = rpc.add([made])
    assert isinstance(gid, str)
    kept = rpc._call("aria2.getOption", gid)
    for name in set(made.options) - {"pause"}:
        assert kept.get(name) == made.options[name], f"aria2 does not know {name!r} as an option of one download"
    (address,) = rpc._call("aria2.getUris", gid)
    assert address["uri"] == "http://127.0.0.1:9/x?a=1&b=%20"
    assert rpc._call("aria2.getGlobalOption") == before
    rpc.remove([gid])
    assert list(tmp_path.glob("*.meta4")) == []
