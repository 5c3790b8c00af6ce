"""Every client through `glm-aria serve`: right, or failed and said so, whatever happens behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clients.client import Client, Protocol, Running
from tests.clients.house import CDNS, TROUBLES, WEIGHTS, House, Moment, Trouble
from tests.clients.judge import Verdict, assert_right, content_of, judge
from tests.clients.table import CLIENTS, DATASET_CLIENTS, GIT, HF_NEWEST, MODELSCOPE_NEWEST, printed
from tests.faults.volumes import small_volume
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.models import tiny_model
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, until
from tests.serve.servers import Server

pytestmark = pytest.mark.sampled(7)

ROWS = CLIENTS
ALL = [*ROWS, *DATASET_CLIENTS]
ONCE = 1.1
"""Of the bytes of a model: it came from outside once. Of a span that another source takes over, some had been sent."""

ONCE_IN_RANGES = 1.25
"""The same for who asks for small ranges, which come from the root while the whole is on its way."""


@pytest.fixture(scope="session")
def big() -> Repo:
    """A model of two shards, large enough that both are cut into ranges."""
    return Repo("model", "org/big", tiny_model(2, shards=2, shard_size=5 * MIB) | {"sub/a note.txt": b"note\n"})


@pytest.fixture
def wanted(request: pytest.FixtureRequest, big: Repo) -> tuple[Repo, Mapping[str, str]]:
    """What the test's client gets: the model, or the rows of a dataset; and what it shows in the end."""
    client = request.node.callspec.params.get("client") if hasattr(request.node, "callspec") else None
    if client in DATASET_CLIENTS:
        return request.getfixturevalue("dataset")  # type: ignore[no-any-return]
    return big, content_of(big.commits[big.head])


@pytest.fixture
def house(machine: Machine, make_hub: MakeHub, wanted: tuple[Repo, Mapping[str, str]]) -> Iterator[House]:
    """A server whose root has what the client wants, and a mirror of it, and ModelScope."""
    repo, content = wanted
    hub = make_hub(repo)
    hub.mirror("near")
    hub.modelscope()
    server = Server.start(machine, *mirrors(hub))
    yield House(hub, server, repo, content)
    if server.running.process.poll() is None:
        server.stop()


@pytest.mark.clients(ROWS, short=3)
def test_cold_then_warm(client: Client, house: House, tmp_path: Path) -> None:
    first = house.download(tmp_path / "first", client)
    assert_right(client, client.run(first), house.content)
    assert house.sent <= ONCE * house.weights
    again = client.run(first)
    assert judge(client, again, house.content) is Verdict.RIGHT or not client.can_repeat
    house.hub.log.reset()
    assert_right(client, client.run(house.download(tmp_path / "second", client)), house.content)
    assert house.sent == 0


@pytest.mark.clients(ROWS, short=1)
def test_in_the_middle_of_an_arrival(client: Client, house: House, tmp_path: Path) -> None:
    house.slow_down()
    first = HF_NEWEST.start(house.download(tmp_path / "first", HF_NEWEST))
    assert house.half_way()
    assert_right(client, client.run(house.download(tmp_path / "second", client)), house.content)
    assert_right(HF_NEWEST, first.end(), house.content)
    assert house.sent <= ONCE * house.weights


@pytest.mark.clients(ALL, short=1)
@pytest.mark.drawn("moment", Moment)
@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
@pytest.mark.sampled(4)
def test_trouble_behind_the_server(
    client: Client, trouble: Trouble, moment: Moment, house: House, tmp_path: Path, is_long: bool
) -> None:
    """A file that is here is out of reach of any trouble. modelscope-hub 0.4 tries on for longer; in the short form it
    is killed, as its user would do, and goes on once the trouble is over."""
    home = tmp_path / "home"
    first = begin(moment, house, tmp_path / "first", client)
    trouble.begin(house.hub)
    # HfFileSystem asks six times before it gives up, and waits each time for as long as the server has hope.
    lasts = not trouble.is_survived and moment is not Moment.WARM
    patience_s = 500 if is_long or not lasts else 30
    outcome = client.run(house.download(home, client), patience_s, may_try_on=lasts)
    verdict = judge(client, outcome, house.content)
    assert verdict is Verdict.RIGHT or not (trouble.is_survived or moment is Moment.WARM)
    if first is not None:
        judge(
            first.client,
            first.end(min(patience_s, 200), may_try_on=lasts),
            content_of(house.repo.commits[house.repo.head]),
        )
    trouble.end(house.hub)
    again(client, house, home)


@pytest.mark.clients(ROWS, short=1)
@pytest.mark.parametrize("liar", [False, True], ids=["honest", "lying"])
def test_the_server_is_killed_and_comes_back(
    client: Client, liar: bool, house: House, machine: Machine, tmp_path: Path
) -> None:
    """Whoever has bytes of before must not join them to others; the server fetches only what its journals lack."""
    house.slow_down()
    if liar:
        house.hub.fault(Fault("substitute", WEIGHTS), face="near")
    running = client.start(house.download(tmp_path, client))
    assert house.half_way()
    house.server.kill()
    before, kept = house.sent, house.kept
    port = house.server.url.rpartition(":")[2]
    back = Server.start(machine, *mirrors(house.hub), "--listen", f"127.0.0.1:{port}")
    judge(client, running.end(), house.content)
    again(client, house, tmp_path)
    once = ONCE_IN_RANGES if client.found is printed else ONCE
    assert liar or house.sent - before <= once * house.weights - kept
    back.stop()


@pytest.mark.clients(ROWS, short=1)
def test_a_client_is_killed_and_run_again(client: Client, house: House, tmp_path: Path) -> None:
    house.slow_down()
    download = house.download(tmp_path, client)
    running = client.start(download)
    assert house.half_way()
    assert running.kill().returncode != 0
    again(client, house, tmp_path)
    assert house.sent <= ONCE * house.weights


@pytest.mark.clients(ALL, short=1)
@pytest.mark.drawn("moment", Moment)
def test_the_disk_of_the_server_is_full(
    client: Client,
    moment: Moment,
    machine: Machine,
    make_hub: MakeHub,
    wanted: tuple[Repo, Mapping[str, str]],
    tmp_path: Path,
) -> None:
    repo, content = wanted
    hub = make_hub(repo)
    hub.modelscope()
    with small_volume(machine.home / "small", "size=320m") as volume:
        server = Server.start(machine, *mirrors(hub), env={"HF_HOME": str(volume.folder)}, under=volume.prefix)
        house = House(hub, server, repo, content)
        house.slow_down()
        first = begin(moment, house, tmp_path / "first", client)
        filler = volume.path / "filler"
        with filler.open("wb") as file, suppress(OSError):
            while True:
                file.write(bytes(MIB))
        verdict = judge(client, client.run(house.download(tmp_path / "home", client), timeout_s=200), content)
        assert verdict is Verdict.RIGHT or moment is not Moment.WARM
        if first is not None:
            judge(first.client, first.end(200), content_of(house.repo.commits[house.repo.head]))
        filler.unlink()
        again(client, house, tmp_path / "home")
        server.stop()


def test_all_of_them_at_once(house: House, tmp_path: Path, is_long: bool) -> None:
    """The weights come from outside once, however many ask for them in whatever way."""
    house.slow_down()
    short = ("hf", "hf-0.36", "curl", "wget", "aria2c", "node", "modelscope")
    rows = [row for row in ROWS if is_long or row.name in short]
    running = [row.start(house.download(tmp_path / row.name, row)) for row in rows]
    for one in running:
        assert_right(one.client, one.end(), house.content)
    assert house.sent <= ONCE * house.weights


def test_files_wait_for_their_turn_for_minutes(
    machine: Machine, make_hub: MakeHub, tmp_path: Path, is_long: bool
) -> None:
    """hf asks for eight files at once, and gives a connection up that brings nothing for ten seconds."""
    if not is_long:
        pytest.skip("takes two minutes")
    repo = Repo("model", "org/many", tiny_model(3, shards=6, shard_size=2 * MIB + MIB // 2))
    hub = make_hub(repo)
    hub.modelscope()
    server = Server.start(machine, *mirrors(hub))
    house = House(hub, server, repo, content_of(repo.commits[repo.head]))
    for face in CDNS:
        hub.faces[face].shape = Shape(total_rate=house.weights / 240)
    running = [row.start(house.download(tmp_path / row.name, row)) for row in ROWS]
    for one in running:
        assert_right(one.client, one.end(400), house.content)
    assert house.sent <= ONCE * house.weights
    server.stop()


def test_git_is_told_what_to_do_instead(house: House, tmp_path: Path) -> None:
    refused = GIT.run(house.download(tmp_path, GIT))
    assert refused.returncode != 0
    assert "hf download" in refused.output
    assert refused.files == {}


@pytest.mark.clients(DATASET_CLIENTS)
def test_the_rows_of_a_dataset_come_through(client: Client, house: House, tmp_path: Path) -> None:
    for home in ("cold", "warm"):
        assert_right(client, client.run(house.download(tmp_path / home, client)), house.content)


@pytest.mark.clients([row for row in CLIENTS if row.speaks is Protocol.MODELSCOPE], short=1)
def test_a_dataset_of_modelscope_comes_through(
    client: Client, machine: Machine, make_hub: MakeHub, tmp_path: Path
) -> None:
    """Its listing comes in pages, which each client makes as large as it likes."""
    files = {f"d{n % 7}/f{n}.csv": b"%d" % n for n in range(230)} | {"train.parquet": generate(3 * MIB, 1)}
    repo = Repo("dataset", "org/rows", files)
    hub = make_hub(repo)
    hub.modelscope()
    server = Server.start(machine, *mirrors(hub))
    house = House(hub, server, repo, content_of(repo.commits[repo.head]))
    for home in ("cold", "warm"):
        assert_right(client, client.run(house.download(tmp_path / home, client)), house.content)
    assert house.sent <= ONCE * house.weights
    server.stop()


def test_modelscope_takes_long_to_answer(house: House, tmp_path: Path, is_long: bool) -> None:
    """Each of its clients obeys the 429 of the server, and asks again."""
    if not is_long:
        pytest.skip("takes half a minute")
    house.hub.faces["modelscope"].shape = Shape(latency_s=4)
    rows = [row for row in CLIENTS if row.speaks is Protocol.MODELSCOPE]
    running = [row.start(house.download(tmp_path / row.name, row)) for row in rows]
    for one in running:
        assert_right(one.client, one.end(), house.content)


def mirrors(hub: LoopbackHub) -> list[str]:
    """The mirrors of the server: all that the hub has beside its root."""
    kinds = {"near": "", "modelscope": "modelscope+"}
    return [
        word for name, kind in kinds.items() if name in hub.faces for word in ("--mirror", kind + hub.faces[name].url)
    ]


def begin(moment: Moment, house: House, home: Path, client: Client) -> Running | None:
    """Bring the server to this moment, by another client of the same catalog; it, if it runs on in the middle."""
    if moment is Moment.COLD:
        return None
    if moment is Moment.MIDDLE:
        house.slow_down()
    newest = HF_NEWEST if client.speaks is Protocol.HUB else MODELSCOPE_NEWEST
    first = newest.start(house.download(home, newest))
    if moment is Moment.MIDDLE:
        assert house.half_way()
        return first
    assert_right(newest, first.end(), content_of(house.repo.commits[house.repo.head]))
    return None


def again(client: Client, house: House, home: Path) -> None:
    """What its user types next brings the right files; what was given up is tried again after five seconds."""
    said: list[str] = []

    def is_right() -> bool:
        outcome = client.run(house.download(home, client), timeout_s=200)
        said.append(outcome.output)
        return judge(client, outcome, house.content) is Verdict.RIGHT or not client.can_repeat

    assert until(is_right, 60), said[-1]
