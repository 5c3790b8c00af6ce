"""What a client may do, whatever happens to it: end with the right files, or say that it failed."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase

from tests.clients.client import Client, Outcome
from tests.hub.content import sha256_of
from tests.hub.repos import Commit


class Verdict(StrEnum):
    """An outcome that a user can live with."""

    RIGHT = "right"
    FAILED = "failed"


def content_of(commit: Commit) -> Mapping[str, str]:
    """The SHA-256 of each file, small ones too, as a client that has them all shows them."""
    return {path: file.sha256 or sha256_of(file.content) for path, file in commit.files.items()}


def judge(client: Client, outcome: Outcome, content: Mapping[str, str]) -> Verdict:
    """Give the verdict; an exit code of 0 with a file that is wrong or not there fails the test.

    Under a failure anything may lie there: the user was told.
    """
    if outcome.returncode != 0:
        return Verdict.FAILED
    wrong = {path for path, digest in outcome.files.items() if content.get(path) != digest}
    wanted = {path for path in content if any(fnmatchcase(path, glob) for glob in client.wants)}
    assert not wrong, f"{client} ended with exit code 0 and wrong files: {sorted(wrong)}\n{outcome.output}"
    missing = wanted - outcome.files.keys()
    if missing and client.says_failure and client.says_failure in outcome.output:
        return Verdict.FAILED
    assert not missing, f"{client} ended with exit code 0 without {sorted(missing)}\n{outcome.output}"
    return Verdict.RIGHT


def assert_right(client: Client, outcome: Outcome, content: Mapping[str, str]) -> None:
    """Assert that the client has all of it."""
    assert judge(client, outcome, content) is Verdict.RIGHT, f"{client} -> {outcome.returncode}\n{outcome.output}"
