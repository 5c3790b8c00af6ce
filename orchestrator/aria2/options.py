"""Options for one download. The tuning is that of aria2.conf, so that a daemon of the user's, whose global options we
must not change, treats our downloads as our own daemon does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from orchestrator.aria2 import inherited
from orchestrator.aria2.control import PIECE
from orchestrator.aria2.spelling import spelled
from orchestrator.core.network.proxies import Proxy, Way
from orchestrator.templating import render

# Options of aria2.conf that concern the whole daemon; aria2 refuses them for a single download.
_GLOBAL = frozenset({"max-concurrent-downloads", "disk-cache"})


@cache
def tuning() -> Mapping[str, str]:
    """The lines of aria2.conf that apply to a single download."""
    lines = (line.strip() for line in render("aria2.conf").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key: value for key, _, value in pairs if key not in _GLOBAL}


def way_options(way: Way | None) -> dict[str, str]:
    """Options by which aria2 takes this way and no other, whatever its environment and its global options say.

    `all-proxy` would give way to both. The login is given apart, as it is: aria2 would put that of a global option
    into an address without one (aria2 1.36, `makeProxyUri` in AbstractCommand.cc).
    """
    if way is None:
        return {}
    return {
        **_proxy_options("http-proxy", way.http),
        **_proxy_options("https-proxy", way.https),
        **_proxy_options("all-proxy", None),
        "no-proxy": ",".join(way.exempt),
    }


def _proxy_options(name: str, proxy: Proxy | None) -> dict[str, str]:
    if proxy is None:
        return {name: "", f"{name}-user": "", f"{name}-passwd": ""}
    return {name: f"http://{proxy.place}", f"{name}-user": proxy.user, f"{name}-passwd": proxy.password}


def download_options(
    folder: Path, *, width: int = 1, way: Mapping[str, str] | None = None, is_ours: bool = True
) -> dict[str, str]:
    """Options under which aria2 writes a file into `folder`, over `width` connections.

    `way` are those of `way_options`.

    A daemon that is not ours has global options, of which the download shall inherit nothing.

    The folder is ours, and no name that came from the network. aria2 tries once: its caller decides whether, when and
    where to try again.
    """
    return {
        **({} if is_ours else inherited.SET),
        **tuning(),
        "dir": spelled(folder),
        "split": str(width),
        "max-connection-per-server": str(width),
        "min-split-size": str(PIECE),
        "piece-length": str(PIECE),
        # The file has its full size already.
        "file-allocation": "none",
        "max-tries": "1",
        "realtime-chunk-checksum": "false",
        "rpc-save-upload-metadata": "false",
        **(way or {}),
    }
