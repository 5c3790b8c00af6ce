"""Sources: what a file, a folder, a git repository and a registry say, and what none of them may do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from orchestrator.desired.following.looking import Followed, Looker
from orchestrator.desired.following.polling import Poll
from orchestrator.desired.sources.artifact import ArtifactSource
from orchestrator.desired.sources.files import SETTLED, FileSource
from orchestrator.desired.sources.git import GitRules, GitSource
from orchestrator.desired.sources.interface import DesiredSource, ReadState, read_again, read_state
from orchestrator.desired.sources.signed import NAMESPACE, SignedFiles
from orchestrator.desired.wish.address import ArtifactAddress, GitAddress, parse_source
from orchestrator.errors import (
    ConfigError,
    FileAbsentError,
    GlmAriaError,
    NotFoundError,
    RevisionAbsentError,
    TemporaryError,
    TrustError,
    UnsafeError,
    UsageError,
)
from orchestrator.net.session import Net
from orchestrator.oci.client import Client
from orchestrator.oci.manifest import EMPTY, TITLE, Descriptor, Manifest, digest_of, render
from orchestrator.oci.registries import Registries
from tests.desired.following import GitDaemon, GitRepository, git_daemon, swap
from tests.machine.machine import until
from tests.servers.registry import RegistryServer

ONE = '[[model]]\nref = "org/a"\n'
TWO = '[[model]]\nref = "org/b"\n'


def read(source: DesiredSource) -> ReadState:
    source.look()
    with source.open() as tree:
        return read_state(tree)


def refs(state: ReadState) -> list[str]:
    return [str(model.item.ref) for model in state.document.models]


# -- files


def test_a_file_has_the_digest_of_all_that_was_read(tmp_path: Path) -> None:
    wish = tmp_path / "desired.toml"
    wish.write_text(f'include = ["more.txt"]\n{ONE}')
    (tmp_path / "more.txt").write_text("org/b\n")
    clock = Clock()
    source = FileSource(str(wish), clock)
    before = read(source)
    assert refs(before) == ["org/b@main", "org/a@main"]
    token = source.look()
    assert source.look() == token
    (tmp_path / "more.txt").write_text("org/c\n")
    assert clock.settled(source) != token
    after = read(source)
    assert after.revision != before.revision
    assert refs(after) == ["org/c@main", "org/a@main"]
    again = read_again(after.revision, after.top, after.texts)
    assert again == after


class Clock:
    """Seconds that pass when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def settled(self, source: FileSource) -> str:
        """The token once the files have been as they are for long enough."""
        before = source.look()
        self.now += SETTLED / 2
        assert source.look() == before, "they may still be written"
        self.now += SETTLED / 2
        return source.look()


def test_a_mounted_folder_is_read_from_one_side_of_its_link(tmp_path: Path) -> None:
    swap(tmp_path, {"desired.toml": ONE})
    clock = Clock()
    source = FileSource(str(tmp_path), clock)
    before = read(source)
    token = source.look()
    swap(tmp_path, {"desired.toml": TWO})
    assert clock.settled(source) != token
    after = read(source)
    assert (refs(before), refs(after)) == (["org/a@main"], ["org/b@main"])

    def read_beside_a_swap() -> None:
        with source.open() as tree:
            tree.read("desired.toml")
            swap(tmp_path, {"desired.toml": ONE})

    with pytest.raises(TemporaryError, match="changes while it is read"):
        read_beside_a_swap()


def test_a_file_leads_nowhere_else(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("org/secret\n")
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "desired.toml").write_text('include = ["way.txt"]\n' + ONE)
    (folder / "way.txt").symlink_to(secret)
    with pytest.raises(UnsafeError, match="leads out"):
        read(FileSource(str(folder)))
    (folder / "way.txt").unlink()
    os.mkfifo(folder / "way.txt")
    with pytest.raises(GlmAriaError):
        read(FileSource(str(folder)))
    with pytest.raises(NotFoundError):
        FileSource(str(tmp_path / "none")).look()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileAbsentError):
        read(FileSource(str(tmp_path / "empty")))


# -- git


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[GitDaemon]:
    (tmp_path / "served").mkdir()
    with git_daemon(tmp_path / "served") as found:
        yield found


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    return GitRepository(tmp_path / "served")


def git_source(text: str, signers: Path | None = None) -> GitSource:
    address = parse_source(text)
    assert isinstance(address, GitAddress)
    return GitSource(address, GitRules(signers=signers), os.environ, threading.Event())


def test_a_repository_is_read_at_a_branch_a_tag_and_a_commit(daemon: GitDaemon, repository: GitRepository) -> None:
    first = repository.commit(
        {"sites/edge.toml": 'include = ["base/all.txt"]\n' + ONE, "sites/base/all.txt": "org/z\n"}
    )
    repository.git("tag", "-a", "v1", "-m", "one")
    repository.git("push", "-q", "origin", "v1")
    url = f"{daemon.url}/fleet.git"
    source = git_source(f"{url}//sites/edge.toml@main")
    token = source.look()
    found = read(source)
    assert (found.revision, refs(found)) == (first, ["org/z@main", "org/a@main"])
    assert source.look() == token
    second = repository.commit({"sites/edge.toml": TWO})
    assert source.look() != token
    assert (read(source).revision, refs(read(source))) == (second, ["org/b@main"])
    tagged = read(git_source(f"{url}//sites/edge.toml@v1"))
    assert (tagged.revision, refs(tagged)[-1]) == (first, "org/a@main")
    assert read(git_source(f"{url}//sites/edge.toml@{first}")).revision == first
    assert read(git_source(f"{url}//sites/edge.toml")).revision == second


def test_history_that_was_rewritten_is_followed(daemon: GitDaemon, repository: GitRepository) -> None:
    repository.commit({"desired.toml": ONE})
    source = git_source(f"{daemon.url}/fleet.git@main")
    assert refs(read(source)) == ["org/a@main"]
    repository.git("checkout", "-q", "--orphan", "other")
    repository.git("branch", "-q", "-M", "main")
    rewritten = repository.commit({"desired.toml": TWO}, force=True)
    assert read(source).revision == rewritten


def test_what_is_missing_or_away_is_told_apart(daemon: GitDaemon, repository: GitRepository) -> None:
    repository.commit({"desired.toml": ONE})
    with pytest.raises(RevisionAbsentError):
        git_source(f"{daemon.url}/fleet.git@none").look()
    with pytest.raises(FileAbsentError):
        read(git_source(f"{daemon.url}/fleet.git//none.toml@main"))
    with pytest.raises(TemporaryError):
        git_source(f"{daemon.url}/none.git@main").look()
    with pytest.raises(TemporaryError, match="does not appear to be a git repository"):
        git_source(f"git+file://{repository.bare}.none@main").look()
    source = git_source(f"{daemon.url}/fleet.git@main")
    daemon.stop()
    with pytest.raises(TemporaryError):
        source.look()
    daemon.start()
    assert refs(read(source)) == ["org/a@main"]


def test_a_link_or_a_submodule_in_a_repository_is_no_file(daemon: GitDaemon, repository: GitRepository) -> None:
    (repository.clone / "desired.toml").symlink_to("/etc/passwd")
    repository.commit({})
    with pytest.raises(UnsafeError):
        read(git_source(f"{daemon.url}/fleet.git@main"))
    (repository.clone / "desired.toml").unlink()
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    repository.commit(
        {
            "desired.toml": 'include = ["module"]\n' + ONE,
            ".gitmodules": '[submodule "module"]\n\tpath = module\n\turl = ext::sh -c "touch PWNED"\n',
        }
    )
    with pytest.raises((UnsafeError, FileAbsentError)):
        read(git_source(f"{daemon.url}/fleet.git@main"))


def test_git_obeys_no_configuration_but_ours(
    daemon: GitDaemon, repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration of the user, and variables that name programs, would have git run them."""
    proof = tmp_path / "ran"
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\ntouch {proof}\nexit 1\n")
    script.chmod(0o755)
    repository.commit({"desired.toml": ONE, ".gitattributes": "* filter=evil\n"})
    home = tmp_path / "home"
    home.mkdir()
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(script, hooks / "reference-transaction")
    (home / ".gitconfig").write_text(
        f"[core]\n hooksPath = {hooks}\n sshCommand = {script}\n gitProxy = {script}\n"
        f'[filter "evil"]\n smudge = {script}\n[credential]\n helper = {script}\n'
    )
    monkeypatch.setenv("HOME", str(home))
    for name in ("GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_PROXY_COMMAND", "GIT_EXTERNAL_DIFF"):
        monkeypatch.setenv(name, str(script))
    monkeypatch.setenv("GIT_DIR", str(repository.bare))
    assert refs(read(git_source(f"{daemon.url}/fleet.git@main"))) == ["org/a@main"]
    assert not proof.exists()


def test_git_speaks_the_named_protocol_only_and_leaves_nothing(
    daemon: GitDaemon, repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({"desired.toml": ONE})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert refs(read(git_source(f"git+file://{repository.bare}@main"))) == ["org/a@main"]
    assert list(scratch.iterdir()) == []
    with pytest.raises(ConfigError, match="anybody on the way"):
        git_source("git+git://192.0.2.1/fleet.git@main")
    with pytest.raises(ConfigError, match="anybody on the way"):
        git_source("git+http://git.example/fleet.git@main")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A key that may sign, one that may not, and the file that says so."""
    made = []
    for name in ("mine", "theirs"):
        key = tmp_path / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)], check=True)
        made.append(key)
    signers = tmp_path / "signers"
    signers.write_text(f"ops@example {(tmp_path / 'mine.pub').read_text()}")
    return made[0], made[1], signers


def test_only_commits_of_allowed_signers_count(
    daemon: GitDaemon, repository: GitRepository, keys: tuple[Path, Path, Path]
) -> None:
    mine, theirs, signers = keys
    source = git_source(f"{daemon.url}/fleet.git@main", signers)
    repository.git("config", "gpg.format", "ssh")
    repository.commit({"desired.toml": ONE})
    with pytest.raises(TrustError, match="is not signed by anybody"):
        read(source)
    repository.git("config", "user.signingkey", str(theirs))
    repository.commit({"desired.toml": ONE}, "-S")
    with pytest.raises(TrustError):
        read(source)
    repository.git("config", "user.signingkey", str(mine))
    signed = repository.commit({"desired.toml": TWO}, "-S")
    assert (read(source).revision, refs(read(source))) == (signed, ["org/b@main"])


def test_a_signed_commit_that_was_replaced_does_not_come_back(
    daemon: GitDaemon, repository: GitRepository, keys: tuple[Path, Path, Path]
) -> None:
    """The time of a commit is under its signature. History may be written anew, as long as it is newer."""
    mine, _, signers = keys
    repository.git("config", "gpg.format", "ssh")
    repository.git("config", "user.signingkey", str(mine))

    def signed(text: str, when: int) -> str:
        repository.env["GIT_COMMITTER_DATE"] = f"@{when} +0000"
        return repository.commit({"desired.toml": text}, "-S", force=True)

    one = Followed("x", git_source(f"{daemon.url}/fleet.git@main", signers), signers="mine")
    looker = Looker([one], 1.0, {}, {})

    def looked() -> str | None:
        one.poll, one.looked = Poll(0.0), None
        assert until(lambda: bool(looker.turn(time.monotonic())) or one.looked is not None)
        return None if one.error is None else one.error.code

    old, new = signed(ONE, 1_700_000_000), signed(TWO, 1_700_000_100)
    assert looked() is None
    repository.git("push", "-q", "--force", "origin", f"{old}:main")
    assert looked() == "trust"
    assert "is of 2023-11-14 22:13:20 UTC" in str(one.error)
    assert one.state is not None
    assert one.state.revision == new
    repository.git("push", "-q", "--force", "origin", f"{new}:main")
    assert looked() is None
    repository.git("reset", "-q", "--hard", old)
    anew = signed(TWO, 1_700_000_200)
    assert looked() is None
    assert one.state.revision == anew


def test_no_other_kind_of_signature_counts(
    daemon: GitDaemon,
    repository: GitRepository,
    keys: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gpgsm believes the certificates that the system trusts; it would be asked because the commit says so."""
    tools = tmp_path / "tools"
    tools.mkdir()
    told = ("NEWSIG", "GOODSIG 0 /CN=somebody", "TRUST_FULLY 0")
    lines = "".join(f"echo '[GNUPG:] {line}'\n" for line in told)
    (tools / "gpgsm").write_text(f"#!/bin/sh\ncat >/dev/null\n{lines}")
    (tools / "gpgsm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    repository.commit({"desired.toml": ONE})
    head, _, text = repository.git("cat-file", "commit", "HEAD").partition("\n\n")
    signed = tmp_path / "signed"
    signed.write_text(f"{head}\ngpgsig -----BEGIN SIGNED MESSAGE-----\n x\n -----END SIGNED MESSAGE-----\n\n{text}\n")
    commit = repository.git("hash-object", "-t", "commit", "-w", str(signed))
    repository.git("push", "-q", "--force", "origin", f"{commit}:refs/heads/main")
    with pytest.raises(TrustError):
        read(git_source(f"{daemon.url}/fleet.git@main", keys[2]))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such bound")
def test_git_gets_so_much_memory_and_no_more(tmp_path: Path) -> None:
    source = git_source("git+file:///none.git@main")
    told = source._git.run(tmp_path, "-c", "alias.bound=!ulimit -v", "bound")
    assert int(told) == 4 << 20


def test_files_have_their_signature_beside_them(tmp_path: Path, keys: tuple[Path, Path, Path]) -> None:
    mine, theirs, signers = keys
    vouched = SignedFiles(signers, os.environ)
    folder = tmp_path / "site"
    folder.mkdir()
    wish = folder / "desired.toml"
    wish.write_text(ONE)

    def sign(key: Path, namespace: str = NAMESPACE) -> None:
        (folder / "desired.toml.sig").unlink(missing_ok=True)
        words = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key), str(wish)]
        subprocess.run(words, check=True, capture_output=True)

    def read_signed() -> ReadState:
        source = FileSource(str(folder))
        source.look()
        with source.open() as tree:
            return read_state(tree, vouched)

    with pytest.raises(TrustError, match="has no signature"):
        read_signed()
    sign(theirs)
    with pytest.raises(TrustError, match="is not signed by anybody"):
        read_signed()
    sign(mine, "file")
    with pytest.raises(TrustError):
        read_signed()
    sign(mine)
    assert refs(read_signed()) == ["org/a@main"]
    wish.write_text(TWO)
    with pytest.raises(TrustError):
        read_signed()


# -- registries


@contextmanager
def client_of(address: ArtifactAddress) -> Iterator[Client]:
    with closing(Net()) as net:
        yield Client(Registries(net), address.repository)


def push(client: Client, tag: str, files: dict[str, bytes]) -> str:
    layers = []
    for name, content in files.items():
        client.finish(client.begin(), digest_of(content), content)
        layers.append(Descriptor("application/octet-stream", digest_of(content), len(content), {TITLE: name}))
    config = Descriptor(EMPTY, digest_of(b"{}"), 2)
    client.finish(client.begin(), config.digest, b"{}")
    manifest = Manifest(config, tuple(layers), artifact_type="application/vnd.glm-aria.desired")
    return str(client.put(tag, render(manifest), manifest.media_type))


def test_an_artifact_is_read_by_its_digest(tmp_path: Path) -> None:
    with RegistryServer(tmp_path / "registry") as registry:
        address = parse_source(f"oci://{registry.url.partition('://')[2]}/fleet/edge:site")
        assert isinstance(address, ArtifactAddress)
        source = ArtifactSource(address, lambda: client_of(address))
        with pytest.raises(RevisionAbsentError):
            source.look()
        with client_of(address) as client:
            first = push(
                client, "site", {"desired.toml": b'include = ["more.txt"]\n' + ONE.encode(), "more.txt": b"org/z\n"}
            )
            found = read(source)
            assert (found.revision, refs(found)) == (first, ["org/z@main", "org/a@main"])
            assert source.look() == first
            second = push(client, "site", {"edge.toml": b"serial = 3\n" + TWO.encode()})
            assert (source.look(), refs(read(source))) == (second, ["org/b@main"])
            assert read(source).serial == 3, "under the signature of the file, as the manifest is not"
            push(client, "site", {"desired.toml": b"nonsense"})
            with pytest.raises(UsageError):
                read(source)
            push(client, "site", {"weights.bin": b"x", "more.bin": b"y"})
            with pytest.raises(FileAbsentError):
                read(source)
        pinned = parse_source(f"{str(address).removesuffix(':site')}@{first}")
        assert isinstance(pinned, ArtifactAddress)
        assert read(ArtifactSource(pinned, lambda: client_of(pinned))).revision == first
    with pytest.raises(GlmAriaError):
        source.look()


def test_a_folder_of_signers_is_a_keyring_of_gpg(daemon: GitDaemon, repository: GitRepository, tmp_path: Path) -> None:
    rings = {name: Path("/tmp") / f"gpg-{os.getpid()}-{name}" for name in ("ours", "theirs")}
    try:
        for name, ring in rings.items():
            ring.mkdir(mode=0o700)
            words = ["gpg", "--batch", "-q", "--passphrase", "", "--quick-gen-key", f"{name}@test", "ed25519", "sign"]
            subprocess.run(words, env={"GNUPGHOME": str(ring), "PATH": os.environ["PATH"]}, check=True)
        source = git_source(f"{daemon.url}/fleet.git@main", rings["ours"])
        for name in ("theirs", "ours"):
            repository.env["GNUPGHOME"] = str(rings[name])
            repository.git("config", "user.signingkey", f"{name}@test")
            signed = repository.commit({"desired.toml": ONE}, "-S")
            if name == "theirs":
                with pytest.raises(TrustError):
                    read(source)
        assert read(source).revision == signed
    finally:
        for ring in rings.values():
            # Its agent ends with its folder.
            shutil.rmtree(ring, ignore_errors=True)
