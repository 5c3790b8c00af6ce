"""Versions and ranges: node's own package says what they mean."""

from __future__ import annotations

import json
import random
import subprocess
from typing import Any

import pytest

from orchestrator.registry.versions import Range, Version
from tests.clients.installs import node_modules
from tests.registry.ranges import Case, cases

_ASK_NODE = """
const semver = require(process.argv[1]);
const asked = JSON.parse(require('fs').readFileSync(0));
console.log(JSON.stringify(asked.map(([range, versions]) => ({
  isRange: semver.validRange(range) !== null,
  taken: versions.map(one => semver.satisfies(one, range)),
  newest: semver.maxSatisfying(versions, range),
  ordered: versions.slice().sort(semver.compareBuild),
}))));
"""


def test_ranges_mean_what_they_mean_to_npm() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    asked = cases(seed, 300)
    for case, told in zip(asked, _node(asked), strict=True):
        assert _ours(case) == told, case.text


def _node(asked: list[Case]) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["node", "-e", _ASK_NODE, str(node_modules() / "semver")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    for told in answers:
        # Of versions that differ by their builds alone node takes any.
        told["newest"] = told["newest"] and Version.parse(told["newest"]).precedence
    return answers


def _ours(case: Case) -> dict[str, Any]:
    versions = [Version.parse(text) for text in case.versions]
    try:
        found = Range.parse(case.text)
    except ValueError:
        found = None
    newest = found.newest(versions) if found else None
    return {
        "isRange": found is not None,
        "taken": [found is not None and version in found for version in versions],
        "newest": newest and newest.precedence,
        "ordered": [str(version) for version in sorted(versions)],
    }


def test_of_versions_that_differ_by_their_builds_the_last_is_the_newest() -> None:
    versions = [Version.parse(text) for text in ("1.2.3+b", "1.2.3", "1.2.3+a", "1.2.3+10", "1.2.3+9")]

    assert str(Range.parse("^1").newest(versions)) == "1.2.3+b"
    assert [str(version) for version in sorted(versions)] == ["1.2.3", "1.2.3+9", "1.2.3+10", "1.2.3+a", "1.2.3+b"]


@pytest.mark.parametrize("text", ["1.2.3", "0.0.0-0", "1.2.3-rc.1+build.5", "1.2.3+a-b"])
def test_a_version_and_its_tag_say_the_same(text: str) -> None:
    version = Version.parse(text)

    assert str(version) == text
    assert Version.of_tag(version.tag) == version
    assert "+" not in version.tag


@pytest.mark.parametrize("tag", ["latest", "v1.2.3", "1.2", "1.2.3_a_b", "1.2.3-rc_", "01.2.3", "sha256-abc"])
def test_other_tags_are_no_versions(tag: str) -> None:
    assert Version.of_tag(tag) is None


def test_a_range_of_any_length_is_read_at_once() -> None:
    # What a server is sent: expressions that try each way to read many spaces take minutes.
    for text in ("1.2.3" + " " * 100_000 + "<1.3.0", "1" + "." * 100_000, "||" * 100_000, "9" * 100_000):
        with pytest.raises(ValueError, match="at most"):
            Range.parse(text)
