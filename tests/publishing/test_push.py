"""Pushes to a real docker-registry: what is sent, what is not, and what others read of it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from pathlib import Path

import pytest

from orchestrator.core.files import Algorithm, Digest
from orchestrator.errors import ConflictError, IntegrityError, Interrupted, UsageError
from orchestrator.events import Event, FileProgress, Phase
from orchestrator.publishing.destinations import TagDestination
from orchestrator.publishing.push import BlobFate, HashedFiles, PushRequest, push
from tests.publishing.conftest import FILES, Pusher, write
from tests.servers.registry import RegistryServer

SIZE = sum(map(len, FILES.values()))
BIG = 24 << 20


def skopeo(server: RegistryServer, what: str) -> dict[str, object]:
    answer = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{server.host}/{what}"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    found: dict[str, object] = json.loads(answer.stdout)
    return found


def test_others_read_what_we_pushed(pusher: Pusher, folder: Path, server: RegistryServer) -> None:
    report = pusher.push(folder)
    manifest = skopeo(server, f"{pusher.name}:1.0.0")
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    layers = {
        layer["annotations"]["org.cncf.model.filepath"]: (layer["digest"], layer["size"])
        for layer in manifest["layers"]  # type: ignore[attr-defined]
    }
    assert layers == {
        path: (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)) for path, content in FILES.items()
    }
    assert report.sent == SIZE
    for path, content in FILES.items():
        file = next(file for file in report.files if file.path == path)
        assert pusher.client.blob(file.digest) == content


def test_a_second_push_sends_nothing_and_is_the_same_version(pusher: Pusher, folder: Path) -> None:
    first = pusher.push(folder)
    again = pusher.push(folder)
    assert (again.digest, again.sent, again.was_there) == (first.digest, 0, True)
    assert {file.fate for file in again.files} == {BlobFate.KEEP}


def test_a_version_never_changes_and_another_tag_may(pusher: Pusher, folder: Path) -> None:
    first = pusher.push(folder)
    pusher.push(folder, "main")
    write(folder, {"config.json": b"{}"})
    with pytest.raises(ConflictError, match="never changes") as caught:
        pusher.push(folder)
    assert caught.value.details == (str(first.digest),)
    assert pusher.client.head("1.0.0") == first.digest
    moved = pusher.push(folder, "main")
    assert pusher.client.head("main") == moved.digest
    assert moved.sent == len(b"{}")


def test_what_another_repository_has_is_mounted(pusher: Pusher, folder: Path) -> None:
    pusher.push(folder)
    other = Pusher(pusher.net, pusher.registry, pusher.state)
    report = other.push(folder, donors=("team/none", pusher.name))
    assert report.sent == 0
    assert {file.mounted for file in report.files} == {pusher.name}


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(pusher: Pusher, folder: Path) -> None:
    report = pusher.push(folder, is_dry_run=True)
    assert {file.fate for file in report.files} == {BlobFate.BRING}
    assert pusher.client.tags() == ()
    assert pusher.push(folder).digest == report.digest


def test_an_alias_moves_once_the_version_is_there(pusher: Pusher, folder: Path) -> None:
    first = pusher.push(folder, alias="staging")
    assert pusher.client.head("staging") == first.digest
    write(folder, {"config.json": b"{}"})
    second = pusher.push(folder, "1.0.1", alias="staging")
    assert pusher.client.head("staging") == second.digest != first.digest


@pytest.mark.parametrize("alias", ["1.0.0", "2.0.0-rc.1", "1.0.0_gguf", "a/b", ".."])
def test_an_alias_is_no_version_and_a_tag(pusher: Pusher, folder: Path, alias: str) -> None:
    first = pusher.push(folder)
    write(folder, {"config.json": b"{}"})
    with pytest.raises(UsageError):
        pusher.push(folder, "1.0.1", alias=alias)
    assert pusher.client.tags() == ("1.0.0",)
    assert pusher.client.head("1.0.0") == first.digest


def test_an_alias_that_somebody_else_moved_is_told_with_the_version_that_is_there(pusher: Pusher, folder: Path) -> None:
    first = pusher.push(folder)

    def move(event: Event) -> None:
        if isinstance(event, FileProgress) and event.phase is Phase.FETCHING:
            pusher.client.tag("prod", str(first.digest))

    write(folder, {"config.json": b"{}"})
    with pytest.raises(ConflictError) as caught:
        pusher.push(folder, "1.1.0", alias="prod", emit=move)
    assert "1.1.0 was pushed" in caught.value.details[-1]
    assert set(pusher.client.tags()) == {"1.0.0", "1.1.0", "prod"}
    assert pusher.client.head("prod") == first.digest


@pytest.mark.parametrize("name", ["README.md", "config.json"])
def test_what_a_version_says_of_itself_stands_in_its_files(pusher: Pusher, folder: Path, name: str) -> None:
    """A card that is saved right behind its hash would be told of, and not be there."""

    def change(event: Event) -> None:
        if isinstance(event, FileProgress) and event.phase is Phase.DONE and event.name == name:
            write(folder, {name: b"---\nlicense: mit\n---\n"})

    with pytest.raises(IntegrityError, match="was changed"):
        pusher.push(folder, emit=change)
    assert pusher.client.tags() == ()


def test_a_stopped_push_goes_on_where_it_was(pusher: Pusher, folder: Path) -> None:
    big = bytes(7 * index % 251 for index in range(1 << 16)) * (BIG >> 16)
    write(folder, {"model.safetensors": big})
    arrived: list[FileProgress] = []

    def stop_at_half(event: Event) -> None:
        if isinstance(event, FileProgress) and event.phase is Phase.FETCHING and event.name == "model.safetensors":
            arrived.append(event)
            if event.done >= BIG // 2:
                pusher.stop.set()

    with pytest.raises(Interrupted):
        pusher.push(folder, emit=stop_at_half)
    sent = arrived[-1].done
    assert arrived[-1].speed
    assert BIG // 2 <= sent < BIG
    again = Pusher(pusher.net, pusher.registry, pusher.state, pusher.name)
    planned = next(file for file in again.push(folder, is_dry_run=True).files if file.path == "model.safetensors")
    assert (planned.begun, planned.sent) == (sent, 0)
    report = again.push(folder)
    big_file = next(file for file in report.files if file.path == "model.safetensors")
    assert big_file.sent == BIG - sent
    assert pusher.client.blob_size(Digest(Algorithm.SHA256, hashlib.sha256(big).hexdigest())) == BIG


def test_a_registry_that_starts_again_under_way_gets_only_what_it_lost(
    tmp_path: Path, pusher: Pusher, folder: Path
) -> None:
    write(folder, {"model.safetensors": bytes(BIG)})
    with RegistryServer(tmp_path / "own") as own:
        mine = Pusher(pusher.net, own.url, pusher.state)
        once = threading.Event()

        def kill_at_half(event: Event) -> None:
            is_upload = isinstance(event, FileProgress) and event.phase is Phase.FETCHING and event.total == BIG
            if is_upload and event.done >= BIG // 2 and not once.is_set():  # type: ignore[union-attr]
                once.set()
                own.kill()
                own.start()

        report = mine.push(folder, emit=kill_at_half)
        assert once.is_set()
        assert report.sent <= SIZE + 2 * BIG
        assert mine.client.head("1.0.0") == report.digest


def test_a_file_that_changes_under_way_makes_no_version(pusher: Pusher, folder: Path) -> None:
    def change(event: Event) -> None:
        if isinstance(event, FileProgress) and event.phase is Phase.CHECKING and event.name == "model.safetensors":
            write(folder, {"model.safetensors": bytes(len(FILES["model.safetensors"]))})

    with pytest.raises(IntegrityError, match="was changed"):
        pusher.push(folder, emit=change)
    assert pusher.client.tags() == ()


def test_who_pushes_again_and_again_reads_only_what_changed(pusher: Pusher, folder: Path) -> None:
    hashed = HashedFiles()
    read: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, FileProgress) and event.phase is Phase.CHECKING:
            read.append(event.name)

    for number in range(2):
        destination = TagDestination(pusher.client, f"1.0.{number}", pusher.begun)
        push(PushRequest(folder), destination, emit=note, stop=pusher.stop, hashed=hashed)
        if number == 0:
            assert set(read) == set(FILES) - {"empty.txt"}
            read.clear()
            write(folder, {"config.json": b'{"changed": 1}'})
    assert read == ["config.json"]
