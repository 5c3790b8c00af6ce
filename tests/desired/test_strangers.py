"""What strangers try: who carries a set, who asks for its status, who answers in the place of a source."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.app.desired import asking
from orchestrator.core.addresses import Place
from orchestrator.desired import carrying, face
from orchestrator.desired.following.looking import Followed, Looker
from orchestrator.desired.sets import stored_generation
from orchestrator.desired.sources.artifact import ArtifactSource
from orchestrator.desired.sources.files import FileSource
from orchestrator.desired.sources.interface import ReadState, read_state
from orchestrator.desired.wish.address import ArtifactAddress, parse_source
from orchestrator.desired.wish.wanted import ModelSet, SetModel
from orchestrator.errors import ConfigError
from orchestrator.lists.lockfile import parse_lock
from tests.desired.following import A, Site, small
from tests.desired.statuses import status
from tests.machine.fixtures import MakeHub, a_machine
from tests.machine.machine import Machine, until

# -- who carries a set


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Machine]:
    """A machine that has no network."""
    yield from a_machine(tmp_path / "far")


def lying(true: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Write the set of an archive again, with other words about it and the digest that goes with them."""
    with carrying.reading(true) as reader:
        carried = carrying.read_archive(reader, str(true))
    info = json.loads(carried.texts["set.json"])
    change(info)
    locked = {str(model.ref): model for model in parse_lock(carried.texts["set.lock"].decode(), "set.lock").models}
    info["digest"] = ModelSet(tuple(SetModel(one["name"], locked[one["ref"]]) for one in info["models"])).digest
    blobs = {digest: true / carrying.entry_of(digest) for digest in carried.blobs}
    with carrying.writing(target) as writer:
        carrying.write_archive(writer, {**carried.texts, "set.json": json.dumps(info).encode()}, blobs)


def test_the_words_of_a_set_choose_no_path(machine: Machine, far: Machine, make_hub: MakeHub, tmp_path: Path) -> None:
    make_hub(small(A))
    state = machine.work / "desired.toml"
    state.write_text(f'[[model]]\nref = "{A}"\n')
    Site(machine, "--follow", str(state)).once().ended(0)
    true = machine.work / "site"
    machine.run("state", "export", str(true)).ended(0)
    outside = tmp_path / "outside"

    def named(*names: str) -> Callable[[dict[str, Any]], None]:
        def change(info: dict[str, Any]) -> None:
            (model,) = info["models"]
            info["models"] = [{**model, "name": name} for name in names]

        return change

    lies = {
        "absolute": named(str(outside / "a")),
        "above": named(f"../../../../../../../../../../../../..{outside}/b"),
        "in another": named("chat", "chat/config"),
        "twice": named("chat", "chat"),
        "endless": lambda info: info.update(generation=10**40),
        "no number": lambda info: info.update(generation="soon"),
    }
    for name, change in lies.items():
        lying(true, tmp_path / name, change)
        result = far.run("state", "import", str(tmp_path / name), "--json")
        assert result.code == 2, (name, result.out)
        assert not outside.exists(), name
        assert Site(far).current is None, name
    lying(true, tmp_path / "true", lambda info: info.update(generation=7))
    far.run("state", "import", str(tmp_path / "true")).ended(0)


@pytest.mark.parametrize("told", [-1, 10**9, 1.5, True, "1", None])
def test_a_generation_is_a_number_that_others_can_follow_on(told: object) -> None:
    with pytest.raises(ValueError, match="generation"):
        stored_generation({"generation": told})


@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_an_entry_that_is_larger_than_it_should_be_fills_no_disk(tmp_path: Path, kind: str) -> None:
    entry, source = carrying.entry_of("0" * 64), tmp_path / "archive"
    (source / entry).parent.mkdir(parents=True)
    (source / entry).touch()
    os.truncate(source / entry, 8 << 20)
    if kind == "tar":
        with tarfile.open(tmp_path / "archive.tar", "w") as tar:
            tar.add(source / entry, entry)
        source = tmp_path / "archive.tar"
    made = tmp_path / "made"
    with carrying.reading(source) as reader:
        assert [name for name, _ in reader.copy({entry: carrying.EntryRoom(made, 100)})] == [entry]
    assert made.stat().st_size == 101


# -- who asks for a status


@pytest.fixture
def port() -> Iterator[int]:
    with face.showing(Place("127.0.0.1", 0), lambda: (None, time.monotonic())) as found:
        assert found is not None
        yield found


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def asked(port: int, host: str) -> bytes:
    with connected(port) as line:
        line.sendall(f"GET /healthz HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        return b"".join(iter(lambda: line.recv(65536), b""))


def test_a_probe_is_answered_while_others_hold_all_they_can(port: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connected(port)).sendall(b"GET /healthz HT")
        assert asked(port, "127.0.0.1").endswith(b"ok\n")


def test_who_drips_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face, "_PATIENCE", 0.2)
    with connected(port) as line:
        line.sendall(b"GET /healthz HT")
        assert line.recv(1) == b"", "well before the 10 s for which it would wait for one more byte"


def test_a_page_that_leads_a_browser_here_reads_no_status(port: int) -> None:
    for name in ("evil.example", "evil.example:8093", "127.0.0.1.evil.example", "[", ""):
        assert asked(port, name).startswith(b"HTTP/1.0 421 "), name
    for name in ("localhost:8093", "127.0.0.1", "[::1]:8093"):
        assert asked(port, name).startswith(b"HTTP/1.0 200 "), name


def test_a_place_for_others_answers_to_any_name() -> None:
    """Services and proxies call it by names that it cannot know, and it shows nothing that is a secret."""
    with face.showing(Place("0.0.0.0", 0), lambda: (None, time.monotonic())) as port:
        assert port is not None
        for name in ("glm-aria-node:8093", "10.0.0.7:8093", "node.example"):
            assert asked(port, name).startswith(b"HTTP/1.0 200 "), name


def test_a_node_that_drips_holds_up_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_TOGETHER", 0.5)
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            line, _ = listener.accept()
            with line, contextlib.suppress(OSError):
                line.sendall(b"HTTP/1.0 200 OK\r\nX-Slow: ")
                while not is_over.wait(0.05):
                    line.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        watch = threading.Timer(20, is_over.set)
        watch.start()
        try:
            (answer,) = asking.ask([f"http://127.0.0.1:{listener.getsockname()[1]}"])
            assert not is_over.is_set(), "it was the test that ended it"
        finally:
            is_over.set()
            watch.cancel()
            thread.join()
    assert answer.status is None
    assert answer.error


@pytest.mark.parametrize("lie", ["soon", None, [1], {}, math.inf, math.nan, 10**400, True])
def test_a_node_that_tells_odd_things_is_one_without_a_status(tmp_path: Path, lie: object) -> None:
    file = tmp_path / "status.json"

    def found(change: Callable[[dict[str, Any]], None]) -> asking.NodeAnswer:
        told = status()
        change(told)
        file.write_text(json.dumps(told))
        (answer,) = asking.ask([str(file)])
        return answer

    assert found(lambda told: None).error is None
    for change in (
        lambda told: told.update(updated=lie),
        lambda told: told.update(generation=lie),
        lambda told: told["models"][0].update(bytes_to_go=lie),
        lambda told: told.update(labels=[lie]),
        lambda told: told.update(labels={"zone": [lie]}),
        lambda told: told.update(sources=lie),
    ):
        answer = found(change)
        assert answer.status is None, change
        assert answer.error


# -- who answers in the place of a source


def test_an_open_registry_counts_only_with_signatures_or_a_digest() -> None:
    def source(text: str, *, is_signed: bool = False) -> ArtifactSource:
        address = parse_source(text)
        assert isinstance(address, ArtifactAddress)
        return ArtifactSource(address, lambda: pytest.fail("nobody is asked"), is_signed=is_signed)

    with pytest.raises(ConfigError, match="anybody on the way"):
        source("oci+http://registry.example/fleet/edge:site")
    source("oci+http://registry.example/fleet/edge:site", is_signed=True)
    source(f"oci+http://registry.example/fleet/edge@sha256:{'0' * 64}")
    source("oci://registry.example/fleet/edge:site")
    source("oci://127.0.0.1:5000/fleet/edge:site")


def test_what_was_taken_unsigned_counts_no_more_once_signatures_are_asked_for(
    machine: Machine, make_hub: MakeHub
) -> None:
    make_hub(small(A))
    state, signers = machine.work / "desired.toml", machine.work / "signers"
    state.write_text(f'[[model]]\nref = "{A}"\n')
    signers.write_text(f"ops@example ssh-ed25519 {secrets.token_hex(16)}\n")
    site = Site(machine, "--follow", str(state))
    site.once().ended(0)
    taken = site.status["sources"][0]["revision"]
    assert taken
    assert site.once("--allowed-signers", str(signers)).code == 81
    assert site.status["sources"][0]["revision"] is None
    assert site.current is not None, "what readers have stays"
    site.once().ended(0)


def test_a_state_counts_for_the_signers_under_which_it_was_taken(tmp_path: Path) -> None:
    (tmp_path / "desired.toml").write_text(f'[[model]]\nref = "{A}"\n')
    source = FileSource(str(tmp_path))
    with source.open() as tree:
        state = read_state(tree)

    def known(kept: str, asked: str) -> bool:
        one, other = (Followed("x", source, signers=signers) for signers in (kept, asked))
        return Looker([other], 1.0, {one.key: state}, {}).states is not None

    assert known("", "")
    assert known("mine", "mine")
    for kept, asked in (("", "mine"), ("mine", ""), ("mine", "theirs")):
        assert not known(kept, asked)


def test_an_older_state_of_a_signer_does_not_come_back(tmp_path: Path) -> None:
    """Also after a restart, and when others may sign as well; unless the user asks for it, once."""
    wish = tmp_path / "desired.toml"
    seen: dict[str, ReadState] = {}
    serials: dict[str, int] = {}

    def looked(serial: int | None, signers: str = "mine", *, may_go_back: bool = False) -> str | None:
        """What a follower that starts now says of it."""
        wish.write_text(f'{"" if serial is None else f"serial = {serial}"}\n[[model]]\nref = "org/s{serial}"\n')
        one = Followed("x", FileSource(str(tmp_path)), signers=signers, may_go_back=may_go_back)
        looker = Looker([one], 1.0, seen, serials)
        assert until(lambda: bool(looker.turn(time.monotonic())) or one.looked is not None)
        if one.error is None and one.state is not None:
            seen[one.key], serials[one.address] = one.state, one.serial
        return None if one.error is None else one.error.code

    assert looked(5) is None
    assert looked(5) is None
    assert looked(4) == "trust"
    assert looked(None) == "trust"
    assert looked(4, "mine and theirs") == "trust"
    assert looked(6) is None
    assert looked(5) == "trust"
    assert looked(5, may_go_back=True) is None
    assert looked(5) is None
    assert looked(1, "") is None, "who asks for no signatures has no order"
