"""The program for notices of the desktop gets a title and a text; the real one is not asked, for want of a desktop."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.notifications.desktop import show
from tests.notifications.test_webhook import ENDING


def program(folder: Path, script: str) -> dict[str, str]:
    path = folder / "notify-send"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"OUT": str(folder / "out")}


@pytest.mark.skipif("sys.platform != 'linux'")
def test_a_notice_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    environ = program(tmp_path, 'printf \'%s\\n\' "$@" >"$OUT"')
    assert show(ENDING, environ) is None
    title, text = ENDING.text.splitlines()
    words = (tmp_path / "out").read_text().splitlines()
    assert words == ["--app-name=glm-aria", "--", title, "error: bad &lt;bytes&gt; &amp; more"]
    assert text.startswith("error: ")


@pytest.mark.skipif("sys.platform != 'linux'")
def test_where_there_is_no_desktop_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "notify-send is not there" in str(show(ENDING, {}))
    program(tmp_path, "echo 'Cannot autolaunch D-Bus' >&2; exit 1")
    assert show(ENDING, {}) == "notify-send: Cannot autolaunch D-Bus"
