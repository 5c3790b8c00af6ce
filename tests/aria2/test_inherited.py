"""A row for every option of the installed aria2, and a download that inherits none of what does harm."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.aria2 import inherited
from orchestrator.aria2.endpoint import Endpoint
from orchestrator.aria2.options import download_options, tuning, way_options
from orchestrator.aria2.program import find_aria2c
from orchestrator.aria2.rpc import Rpc
from orchestrator.core.network.proxies import Way
from tests.aria2.conftest import paused
from tests.machine.fixtures import MakeForeign, make_foreign  # noqa: F401 - a fixture

OPTION = re.compile(r"^ (?:-\w, )?--([a-z0-9-]+)", re.MULTILINE)


def all_options() -> set[str]:
    words = [str(find_aria2c()), "--help=#all"]
    return set(OPTION.findall(subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout))


def test_every_option_of_the_installed_aria2_has_a_row() -> None:
    """A new version may have one that adds something to a request: read its source, try it, and write the row."""
    known = set(inherited.SET) | set(inherited.REFUSED) | set(inherited.WARNED) | inherited.HARMLESS
    assert len(all_options()) > 150
    assert all_options() - known == set()


def test_each_option_has_one_row() -> None:
    assert not inherited.HARMLESS & (set(inherited.SET) | set(inherited.REFUSED) | set(inherited.WARNED))
    # A header is given for each download, and refused as a global option.
    assert set(inherited.SET) & set(inherited.REFUSED) == {"header"}
    assert not set(inherited.SET) & set(inherited.WARNED)


def test_what_is_given_elsewhere_is_not_given_twice(tmp_path: Path) -> None:
    ours = download_options(tmp_path, way=way_options(Way(None, None, ())))
    assert set(ours) <= inherited.HARMLESS
    assert not set(tuning()) & set(inherited.SET)


def test_only_a_download_of_a_daemon_that_is_not_ours_is_told(tmp_path: Path) -> None:
    assert not set(download_options(tmp_path)) & set(inherited.SET)
    assert inherited.SET.items() <= download_options(tmp_path, is_ours=False).items()


# What each option of SET would be if its user had set it: whatever does most harm.
WORST = {
    "allow-piece-length-change": "true",
    "always-resume": "false",
    "check-integrity": "true",
    "conditional-get": "true",
    "continue": "true",
    "dry-run": "true",
    "enable-http-keep-alive": "false",
    "enable-http-pipelining": "true",
    "enable-mmap": "true",
    "force-save": "true",
    "ftp-passwd": "canary",
    "ftp-user": "canary",
    "hash-check-only": "true",
    "http-accept-gzip": "true",
    "http-auth-challenge": "true",
    "http-no-cache": "true",
    "http-passwd": "canary",
    "http-user": "canary",
    "lowest-speed-limit": "100M",
    "max-file-not-found": "1",
    "max-resume-failure-tries": "9",
    "metalink-base-uri": "http://canary.example/",
    "metalink-language": "canary",
    "metalink-location": "canary",
    "metalink-os": "canary",
    "metalink-preferred-protocol": "ftp",
    "metalink-version": "canary",
    "parameterized-uri": "true",
    "pause": "true",
    "pause-metadata": "true",
    "referer": "http://canary.example/",
    "remote-time": "true",
    "remove-control-file": "true",
    "save-not-found": "true",
    "select-file": "2",
    "use-head": "true",
}


def test_the_worst_is_known_of_each() -> None:
    assert set(WORST) == set(inherited.SET) - {"header"}
    assert not WORST.items() & inherited.SET.items()


def test_aria2_takes_each_of_them_for_a_download(
    make_foreign: MakeForeign,  # noqa: F811
    make_rpc: Callable[..., Rpc],
    tmp_path: Path,
) -> None:
    foreign = make_foreign(conf="".join(f"{name}={value}\n" for name, value in WORST.items()))
    rpc = make_rpc(Endpoint(foreign.url, "theirs"))
    (gid,) = rpc.add([paused(tmp_path / "abc", is_ours=False)])
    kept = foreign.call("aria2.getOption", gid)
    # These are used up when a download is added, and not kept with it.
    passing = {"pause", "parameterized-uri", "select-file"}
    wrong = {
        name: (kept.get(name), value)
        for name, value in inherited.SET.items()
        if name not in passing and kept.get(name, "").strip() != value
    }
    assert wrong == {}


@pytest.mark.parametrize("name", sorted(inherited.REFUSED))
def test_what_cannot_be_blanked_is_seen_in_the_global_options(
    make_foreign: MakeForeign,  # noqa: F811
    tmp_path: Path,
    name: str,
) -> None:
    value = tmp_path / "file"
    value.write_text("#!/bin/sh\n")
    value.chmod(0o700)
    made = make_foreign(conf=f"{name}={'X-Key: canary' if name == 'header' else value}\n")
    (harm,) = inherited.refused(made.call("aria2.getGlobalOption"))
    assert harm.option == name


def test_what_is_warned_of(make_foreign: MakeForeign, tmp_path: Path) -> None:  # noqa: F811
    def options(conf: str) -> list[str]:
        return [harm.option for harm in inherited.warned(make_foreign(conf=conf).call("aria2.getGlobalOption"))]

    assert options("") == []
    assert options(f"save-session={tmp_path}/s\n") == ["save-session"]
    assert options("check-certificate=false\n") == ["check-certificate"]
    assert options(f"log={tmp_path}/log\n") == ["log"]
    assert options(f"log={tmp_path}/log\nlog-level=notice\n") == []
