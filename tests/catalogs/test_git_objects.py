"""Git objects over the network: right ones from an honest site, and nothing but an error from any other."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from orchestrator.catalogs.commit_chain import SMALL, follow
from orchestrator.catalogs.git_objects import GitLimits, GitReader
from orchestrator.errors import ProtocolError, TemporaryError, TrustError
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from tests.hub.content import generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.models import many_files
from tests.hub.repos import Repo
from tests.hub.shaping import Shape

FILES = {
    "config.json": b"{}\n",
    "empty.txt": b"",
    "weights/model.safetensors": b"w" * 70_000,
    "big.json": generate(50_000, 1),
}


@pytest.fixture
def repo() -> Repo:
    made = Repo("model", "org/m", FILES)
    made.commit({"README.md": b"second"})
    return made


def reader(hub: LoopbackHub, **limits: float) -> GitReader:
    """One whose Net would send a token to the hub."""
    return GitReader(Net(Credentials("hf_canary", frozenset({hub.host}))), limits=GitLimits(**limits))  # type: ignore[arg-type]


def test_exactly_what_a_proof_needs(repo: Repo) -> None:
    head = repo.commits[repo.head]
    with LoopbackHub([repo]) as hub:
        objects = reader(hub).objects(f"{hub.url}/org/m", repo.head)
        sent = hub.log.bytes_sent(path="*/git-upload-pack")
        assert not [seen for seen in hub.log.requests() if seen.authorization]
    expected = {
        oid: (kind.decode(), body) for oid, kind, body in head.objects() if len(body) < SMALL or kind != b"blob"
    }
    assert objects == expected
    assert follow(repo.head, objects).blobs == {path: file.oid for path, file in head.files.items()}
    assert sent < 2000


def test_an_older_commit_and_a_dataset() -> None:
    data = Repo("dataset", "org/d", many_files(300))
    first = data.head
    data.commit({"later.txt": b"later"})
    with LoopbackHub([data]) as hub:
        chain = follow(first, reader(hub).objects(f"{hub.url}/datasets/org/d", first))
    assert chain.blobs == {path: file.oid for path, file in data.commits[first].files.items()}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", "*/info/refs", status=404),
        Fault("status", "*/git-upload-pack", status=500),
        Fault("html_portal", "*/info/refs"),
        Fault("html_portal", "*/git-upload-pack"),
        Fault("redirect", "*/info/refs", location="http://127.0.0.1:9/x/info/refs?service=git-upload-pack"),
        Fault("headers", "*/info/refs", headers={"Content-Type": "text/plain"}),
    ],
    ids=lambda fault: f"{fault.kind} {fault.path_glob}",
)
def test_a_site_that_does_not_serve_git(repo: Repo, fault: Fault) -> None:
    with LoopbackHub([repo], faults=[fault]) as hub:
        with pytest.raises(ProtocolError) as caught:
            reader(hub).objects(f"{hub.url}/org/m", repo.head)
        assert hub.faces["hub"].faults.fired()
    assert hub.url in caught.value.message


def test_what_is_not_there(repo: Repo) -> None:
    with LoopbackHub([repo, Repo("model", "org/gated", FILES, gated="manual")]) as hub:
        ask = reader(hub).objects
        with pytest.raises(ProtocolError):
            ask(f"{hub.url}/org/m", "0" * 40)
        for name in ("org/none", "org/gated"):
            with pytest.raises(ProtocolError, match="login"):
                ask(f"{hub.url}/{name}", repo.head)
        for commit in ("main", "--upload-pack=touch x", "A" * 40):
            with pytest.raises(ProtocolError, match="not a commit"):
                ask(f"{hub.url}/org/m", commit)
    for url in ("file:///etc", "ext::sh -c true", "http://user:password@127.0.0.1/x", "--upload-pack=x", "ssh://h/x"):
        with pytest.raises(ProtocolError):
            ask(url, repo.head)


def test_time_is_bounded_and_git_is_gone_with_it(repo: Repo) -> None:
    with LoopbackHub([repo]) as hub:
        hub.faces["hub"].shape = Shape(latency_s=30)
        begun = time.monotonic()
        with pytest.raises(TemporaryError):
            reader(hub, deadline=0.5).objects(f"{hub.url}/org/m", repo.head)
        assert time.monotonic() - begun < 10
        url = hub.url.encode()
    assert not [process for process in Path("/proc").iterdir() if process.name.isdecimal() and _is_git(process, url)]


def test_a_run_that_is_stopped_does_not_wait(repo: Repo) -> None:
    stop = threading.Event()
    with LoopbackHub([repo]) as hub:
        hub.faces["hub"].shape = Shape(latency_s=30)
        begun = time.monotonic()
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(TemporaryError):
            GitReader(Net(), is_stopped=stop.is_set).objects(f"{hub.url}/org/m", repo.head)
        assert time.monotonic() - begun < 10


def test_size_is_bounded() -> None:
    repo = Repo("model", "org/m", many_files(1000))
    with LoopbackHub([repo]) as hub:
        with pytest.raises(ProtocolError):
            reader(hub, pack=8192).objects(f"{hub.url}/org/m", repo.head)
        with pytest.raises(ProtocolError, match="larger than 10000 bytes"):
            reader(hub, objects=10_000).objects(f"{hub.url}/org/m", repo.head)


def test_nothing_is_left_and_nothing_is_read(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {tmp_path / 'ssh'}")
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    with LoopbackHub([repo]) as hub:
        assert reader(hub).objects(f"{hub.url}/org/m", repo.head)
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("loopback-git-")] == []


def test_a_missing_git_is_told_with_a_hint(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TrustError) as caught:
        GitReader(Net()).objects("http://127.0.0.1:9/org/m", repo.head)
    assert "install git" in str(caught.value.hint)


def test_without_a_temporary_folder(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(TrustError, match="temporary folder"):
        GitReader(Net()).objects("http://127.0.0.1:9/org/m", repo.head)


def _is_git(process: Path, url: bytes) -> bool:
    try:
        words = (process / "cmdline").read_bytes()
    except OSError:
        return False
    return b"git" in words and url in words
