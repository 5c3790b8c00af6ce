"""Where the version comes from, and scripts/release: in a repository of its own, with and without tags."""

import subprocess
import sys
from pathlib import Path

import pytest


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )


def git(folder: Path, *words: str) -> str:
    done = run("git", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def version_of(folder: Path) -> str:
    done = run(sys.executable, "-m", "hatchling", "version", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repository(clone: Path, tmp_path: Path) -> Path:
    """One commit that holds all of the clone, by somebody with a name."""
    folder = tmp_path / "repository"
    git(tmp_path, "clone", "--quiet", "--template=", str(_committed(clone)), str(folder))
    git(folder, "config", "user.name", "Somebody")
    git(folder, "config", "user.email", "somebody@example.org")
    return folder


def _committed(clone: Path) -> Path:
    if not (clone / ".git").exists():
        git(clone, "init", "--quiet", "--initial-branch=main")
        git(clone, "add", "--all")
        git(clone, "-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "commit", "-qm", "All of it")
    return clone


def archived(repository: Path, target: Path) -> Path:
    """What `git archive` gives, as sites offer it for a tag or a branch."""
    target.mkdir()
    git(repository, "archive", "--output", str(target / "it.tar"), "HEAD")
    assert run("tar", "-xf", "it.tar", cwd=target).returncode == 0
    return target


def test_the_version_is_that_of_the_tag(repository: Path, tmp_path: Path) -> None:
    assert version_of(repository).startswith("0.0.1.dev"), "there is no tag yet"
    assert version_of(archived(repository, tmp_path / "before")).startswith("0")

    git(repository, "tag", "v4.5.6")
    assert version_of(repository) == "4.5.6"
    archive = archived(repository, tmp_path / "archive")
    assert version_of(archive) == "4.5.6"
    (archive / ".git_archival.txt").unlink()
    assert version_of(archive) == "0.0.0+unknown", "nothing tells it here, and that is no error"

    (repository / "more").touch()
    git(repository, "add", "more")
    git(repository, "commit", "-qm", "More")
    assert version_of(repository).startswith("4.5.7.dev1+g")


def test_a_release_is_a_section_a_commit_and_a_tag(repository: Path) -> None:
    release = repository / "scripts" / "release"
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n### Added\n\n- A thing.\n")
    assert "not committed" in run(release, "1.2.3", cwd=repository).stderr
    git(repository, "commit", "-qam", "A thing")

    done = run(release, "1.2.3", cwd=repository)
    assert done.returncode == 0, done.stderr
    lines = (repository / "CHANGELOG.md").read_text().splitlines()
    assert lines[2:4] == ["## Unreleased", ""]
    assert lines[4].startswith("## 1.2.3 - 20")
    assert lines[5:] == ["", "### Added", "", "- A thing."]
    assert git(repository, "describe", "--tags").strip() == "v1.2.3"
    assert git(repository, "status", "--porcelain") == ""

    assert "nothing below Unreleased" in run(release, "1.2.4", cwd=repository).stderr
    for version, fault in {"1.2.3": "not newer", "1.2.3rc1": "not newer", "1.2": "not a version"}.items():
        assert fault in run(release, version, cwd=repository).stderr
    assert git(repository, "tag").split() == ["v1.2.3"]


def test_only_a_tagged_commit_is_built(repository: Path) -> None:
    done = run(repository / "scripts" / "release", "--build", "v7.0.0", cwd=repository)
    assert done.returncode == 1
    assert "has no tag v7.0.0" in done.stderr
    assert not (repository / "dist").exists()
