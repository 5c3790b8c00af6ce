"""What the scripts install: every package pinned with its digests, and in agreement with pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPO = Path(__file__).parents[2]
PINS = REPO / "scripts" / "requirements"
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))
GROUPS = PROJECT["dependency-groups"]
RUN = [*PROJECT["project"]["dependencies"], *GROUPS["build"]]
EXTRAS = [
    line
    for extra in PROJECT["project"]["optional-dependencies"].values()
    for line in extra
    if not line.startswith("glm-aria[")  # which names another extra
]
NEEDED = {
    "run": RUN,
    "lowest": [*RUN, *EXTRAS, *GROUPS["quick"]],
    "test": [*RUN, *EXTRAS, *(line for group in GROUPS.values() for line in group if isinstance(line, str))],
}


def pinned(name: str) -> dict[str, set[str]]:
    """The versions of each package: more than one where they differ by the Python that asks."""
    text = (PINS / f"{name}.txt").read_text("utf-8").replace("\\\n", " ")
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            package, version = re.match(r"([\w.-]+)==(\S+)", line).groups()  # type: ignore[union-attr]
            assert "--hash=sha256:" in line, f"{package} has no digest: run scripts/lock"
            found.setdefault(canonicalize_name(package), set()).add(version)
    return found


@pytest.mark.parametrize("name", NEEDED)
def test_every_requirement_is_pinned_to_a_version_that_it_allows(name: str) -> None:
    pins = pinned(name)
    for line in NEEDED[name]:
        wanted = Requirement(line)
        versions = pins.get(canonicalize_name(wanted.name))
        assert versions, f"{wanted.name} is not pinned: run scripts/lock"
        assert all(wanted.specifier.contains(version) for version in versions), f"{line}: run scripts/lock"


@pytest.mark.parametrize("name", sorted(path.stem for path in (PINS / "clients").glob("*.txt")))
def test_every_client_of_another_version_is_pinned(name: str) -> None:
    assert pinned(f"clients/{name}")


def test_users_get_the_versions_that_the_tests_ran_with() -> None:
    tested = pinned("test")
    assert {name: versions for name, versions in pinned("run").items() if versions != tested.get(name)} == {}


def test_the_bounds_of_dependencies_are_what_is_tried() -> None:
    oldest = pinned("lowest")
    for line in [*PROJECT["project"]["dependencies"], *EXTRAS]:
        wanted = Requirement(line)
        (bound,) = [Version(one.version) for one in wanted.specifier if one.operator in (">=", "==")]
        assert {Version(version) for version in oldest[canonicalize_name(wanted.name)]} == {bound}, line
