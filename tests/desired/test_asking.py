"""Places of statuses: what is none is refused, and is no bug."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from orchestrator.app.desired.asking import ReadyRule, ask, wait_for
from orchestrator.core.addresses import Place
from orchestrator.desired import face
from orchestrator.desired.status import ALIVE, SetStatus, parse_status, render
from orchestrator.errors import TemporaryError, UsageError
from orchestrator.system.signals import Stop
from tests.desired.statuses import status

LONG = "a" * 70


@pytest.mark.parametrize(
    "place",
    [
        *("http://[::1", "http://[x]:8093", "http://node:99999", "http://node:abc", "http://node..example"),
        *(f"http://{LONG}.example", "http://", "https://node:8093", "http://me@node:8093", "http://\u2100"),
    ],
)
def test_what_is_no_address_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match="is no place of a status"):
        ask([place])


def test_a_file_that_is_not_there_is_a_node_that_is_away() -> None:
    (answer,) = ask(["none/status.json"])
    assert (answer.status, answer.error) == (None, "No such file or directory")


DAY = 86400.0


def told(at: float, expires: float | None) -> SetStatus:
    return parse_status({**status(), "updated": at, "expires": expires})


@pytest.mark.parametrize("kind", ["file", "http"])
def test_the_last_word_of_a_follower_that_is_gone_is_no_answer(tmp_path: Path, kind: str) -> None:
    """It was ready a day ago; nobody knows how it is. What ran once has said all that it had to say."""
    now = time.time()

    def answer(at: float, expires: float | None) -> tuple[bool, float | None]:
        found = told(at, expires)
        if kind == "file":
            (tmp_path / "status.json").write_text(render(found))
            (one,) = ask([str(tmp_path)])
        else:
            with face.showing(Place("127.0.0.1", 0), lambda: (found, time.monotonic())) as port:
                (one,) = ask([f"http://127.0.0.1:{port}"])
        return one.is_ready, one.silent

    assert answer(now, now + ALIVE) == (True, None)
    assert answer(now - DAY, None) == (True, None)
    is_ready, silent = answer(now - DAY, now - DAY + ALIVE)
    assert not is_ready
    assert silent == pytest.approx(DAY, abs=30)


def test_a_wait_for_a_follower_that_is_gone_says_how_old_its_word_is(tmp_path: Path) -> None:
    now = time.time()
    (tmp_path / "status.json").write_text(render(told(now - DAY, now - DAY + ALIVE)))
    with pytest.raises(TemporaryError, match="last written 1 d 0 h ago: its follower does not run"):
        wait_for([str(tmp_path)], ReadyRule(), 0.0, Stop(), lambda _: None)


def test_a_node_of_an_older_version_is_asked_as_before(tmp_path: Path) -> None:
    old = {key: value for key, value in status().items() if key != "expires"}
    (tmp_path / "status.json").write_text(json.dumps(old))
    (answer,) = ask([str(tmp_path)])
    assert answer.is_ready
