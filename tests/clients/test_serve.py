"""Every client through `glm-aria serve`: right, or failed and said so, whatever happens behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clients.client import Client, Download, Protocol
from tests.clients.house import LINE, TROUBLES, WEIGHTS, House, Trouble
from tests.clients.judge import Verdict, assert_right, content_of, judge
from tests.clients.table import CLIENTS, DATASET_CLIENTS, GIT, HF_NEWEST
from tests.faults.volumes import small_volume
from tests.hub.content import MIB
from tests.hub.faults import Fault
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine
from tests.serve.servers import Server

ROWS = [row for row in CLIENTS if row.speaks is Protocol.HUB]
COMMON = ("hf-0.36", "hf", "HfFileSystem", "wget-resume")
"""One of each kind: it resumes across runs, starts over, joins ranges, continues whatever lies there."""

ONCE = 1.1
"""Of the bytes of a model: it came from outside once. Of a span that another source takes over, some had been sent."""


@pytest.fixture(scope="session")
def big() -> Repo:
    """A model of two shards, large enough that both are cut into ranges."""
    return Repo("model", "org/big", tiny_model(2, shards=2, shard_size=5 * MIB) | {"sub/a note.txt": b"note\n"})


@pytest.fixture
def house(machine: Machine, make_hub: MakeHub, big: Repo) -> Iterator[House]:
    """A server whose root has the model, and a mirror of it."""
    hub = make_hub(big)
    near = hub.mirror("near")
    server = Server.start(machine, "--mirror", near.url)
    yield House(hub, server, big)
    if server.running.process.poll() is None:
        server.stop()


def content(repo: Repo) -> Mapping[str, str]:
    return content_of(repo.commits[repo.head])


def weights(repo: Repo) -> int:
    return sum(file.size for file in repo.commits[repo.head].files.values() if file.sha256)


@pytest.mark.clients(ROWS, short=COMMON)
def test_cold_then_warm(client: Client, house: House, tmp_path: Path) -> None:
    first = house.download(tmp_path / "first")
    assert_right(client, client.run(first), content(house.repo))
    assert house.sent <= ONCE * weights(house.repo)
    again = client.run(first)
    assert judge(client, again, content(house.repo)) is Verdict.RIGHT or not client.can_repeat
    house.hub.log.reset()
    assert_right(client, client.run(house.download(tmp_path / "second")), content(house.repo))
    assert house.sent == 0


@pytest.mark.clients(ROWS, short=1)
def test_in_the_middle_of_an_arrival(client: Client, house: House, tmp_path: Path) -> None:
    for face in ("cdn", "near"):
        house.hub.faces[face].shape = LINE
    first = HF_NEWEST.start(house.download(tmp_path / "first"))
    assert house.half_way()
    assert_right(client, client.run(house.download(tmp_path / "second")), content(house.repo))
    assert_right(HF_NEWEST, first.end(), content(house.repo))
    assert house.sent <= ONCE * weights(house.repo)


@pytest.mark.clients(ROWS, short=1)
@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_trouble_behind_the_server(client: Client, trouble: Trouble, house: House, tmp_path: Path) -> None:
    trouble.begin(house.hub)
    download = house.download(tmp_path)
    verdict = judge(client, client.run(download, timeout_s=200), content(house.repo))
    assert verdict is Verdict.RIGHT or not trouble.is_survived
    trouble.end(house.hub)
    again(client, house, tmp_path)


@pytest.mark.clients(ROWS, short=1)
@pytest.mark.parametrize("liar", [False, True], ids=["honest", "lying"])
def test_the_server_is_killed_and_comes_back(
    client: Client, liar: bool, house: House, machine: Machine, tmp_path: Path
) -> None:
    """Whoever has bytes of before must not join them to others."""
    for face in ("cdn", "near"):
        house.hub.faces[face].shape = LINE
    if liar:
        house.hub.fault(Fault("substitute", WEIGHTS), face="near")
    running = client.start(house.download(tmp_path))
    assert house.half_way()
    house.server.kill()
    port = house.server.url.rpartition(":")[2]
    back = Server.start(machine, "--mirror", house.hub.faces["near"].url, "--listen", f"127.0.0.1:{port}")
    judge(client, running.end(), content(house.repo))
    again(client, house, tmp_path)
    assert liar or house.sent <= 1.5 * weights(house.repo)
    back.stop()


@pytest.mark.clients(ROWS, short=1)
def test_a_client_is_killed_and_run_again(client: Client, house: House, tmp_path: Path) -> None:
    for face in ("cdn", "near"):
        house.hub.faces[face].shape = LINE
    download = house.download(tmp_path)
    running = client.start(download)
    assert house.half_way()
    assert running.kill().returncode != 0
    again(client, house, tmp_path)
    assert house.sent <= ONCE * weights(house.repo)


@pytest.mark.clients(ROWS, short=1)
def test_the_disk_of_the_server_is_full(
    client: Client,
    machine: Machine,
    make_hub: MakeHub,
    big: Repo,
    tmp_path: Path,
) -> None:
    hub = make_hub(big)
    hub.faces["cdn"].shape = LINE
    with small_volume(machine.home / "small", "size=320m") as volume:
        server = Server.start(machine, "--no-mirrors", env={"HF_HOME": str(volume.folder)}, under=volume.prefix)
        house = House(hub, server, big)
        running = client.start(house.download(tmp_path))
        assert house.half_way()
        filler = volume.path / "filler"
        with filler.open("wb") as file, suppress(OSError):
            while True:
                file.write(bytes(MIB))
        judge(client, running.end(200), content(big))
        filler.unlink()
        again(client, house, tmp_path)
        server.stop()


def test_all_of_them_at_once(house: House, tmp_path: Path, is_long: bool) -> None:
    """The weights come from outside once, however many ask for them in whatever way."""
    for face in ("cdn", "near"):
        house.hub.faces[face].shape = LINE
    rows = ROWS if is_long else [row for row in ROWS if row.name in ("hf", "hf-0.36", "curl", "wget", "aria2c", "node")]
    running = [row.start(house.download(tmp_path / row.name)) for row in rows]
    for one in running:
        assert_right(one.client, one.end(), content(house.repo))
    assert house.sent <= ONCE * weights(house.repo)


def test_files_wait_for_their_turn_for_minutes(
    machine: Machine, make_hub: MakeHub, tmp_path: Path, is_long: bool
) -> None:
    """hf asks for eight files at once, and gives a connection up that brings nothing for ten seconds."""
    if not is_long:
        pytest.skip("takes two minutes")
    repo = Repo("model", "org/many", tiny_model(3, shards=6, shard_size=2 * MIB + MIB // 2))
    hub = make_hub(repo, cdn_shape=Shape(total_rate=weights(repo) / 120))
    server = Server.start(machine, "--no-mirrors")
    house = House(hub, server, repo)
    running = [row.start(house.download(tmp_path / row.name)) for row in ROWS]
    for one in running:
        assert_right(one.client, one.end(400), content(repo))
    assert house.sent <= ONCE * weights(repo)
    server.stop()


def test_git_is_told_what_to_do_instead(house: House, tmp_path: Path) -> None:
    refused = GIT.run(house.download(tmp_path))
    assert refused.returncode != 0
    assert "hf download" in refused.output
    assert refused.files == {}


@pytest.mark.clients(DATASET_CLIENTS)
def test_the_rows_of_a_dataset_come_through(
    client: Client, house: House, dataset: tuple[Repo, Mapping[str, str]], tmp_path: Path
) -> None:
    repo, rows = dataset
    house.hub.add(repo)
    for home in ("cold", "warm"):
        assert_right(client, client.run(Download(house.server.url, repo, tmp_path / home)), rows)


def again(client: Client, house: House, home: Path) -> None:
    """What its user types next brings the right files."""
    outcome = client.run(house.download(home), timeout_s=200)
    verdict = judge(client, outcome, content(house.repo))
    assert verdict is Verdict.RIGHT or not client.can_repeat, outcome.output
