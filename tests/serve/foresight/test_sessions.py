"""ClientSessions: a wish for a model is one, however many files a client asks for."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.files import Digest
from orchestrator.core.refs import Ref, parse_ref
from orchestrator.predict.demand import Demand
from orchestrator.serve.foresight.sessions import IDLE, ClientSessions
from orchestrator.serve.http.exchange import Exchange, Presence

MODEL = parse_ref("org/m")
START = 1_000_000.0


@dataclass
class World:
    """ClientSessions on a clock of a test, which begins at 0."""

    time: float = 0.0

    def __post_init__(self) -> None:
        self.sessions = ClientSessions(lambda: self.time, lambda: START + self.time, most=3)

    def ask(
        self,
        began: float,
        ended: float,
        name: str = "f",
        found: Presence = Presence.MISS,
        *,
        client: str = "one",
        ref: Ref = MODEL,
        is_closed: bool = False,
        face: str = "hub",
    ) -> None:
        """A client asks for a file of 100 bytes."""
        exchange = Exchange(client, "GET", b"/", face, began=began)
        self.sessions.began(exchange)
        exchange.blob, exchange.ref, exchange.commit, exchange.size = digest(name), ref, "c" * 40, 100
        exchange.found, exchange.is_closed = found, is_closed
        self.time = ended
        self.sessions.ended(exchange)

    def over(self, idle: float = 0.0) -> list[Demand]:
        return [session.demand(str(session.ref)) for session in self.sessions.over(idle)]


def digest(name: str) -> Digest:
    return Digest.parse(f"sha256:{name.encode().hex():0>64}")


def test_files_of_a_model_are_one_wish_whose_waiting_counts_once() -> None:
    world = World()
    world.ask(0, 10, "a")
    world.ask(2, 12, "b")
    world.ask(20, 25, "c", Presence.ARRIVING)
    world.ask(25, 26, "d", Presence.HIT)
    world.ask(26, 27, "a", Presence.HIT)
    assert world.over() == [Demand(START, "org/m@main", 400, 300, 17.0)]
    assert world.over() == []


def test_clients_and_models_have_wishes_of_their_own() -> None:
    world = World()
    world.ask(0, 1)
    world.ask(1, 2, client="two")
    world.ask(2, 3, ref=parse_ref("org/other"))
    assert [demand.model for demand in world.over()] == ["org/m@main", "org/m@main", "org/other@main"]


def test_a_wish_is_over_when_its_client_has_been_idle() -> None:
    world = World()
    world.ask(0, 1)
    assert world.over(IDLE) == []
    world.time = IDLE + 1
    assert len(world.over(IDLE)) == 1
    world.ask(IDLE + 1, IDLE + 2)
    world.ask(3 * IDLE, 3 * IDLE + 1)
    assert [demand.at for demand in world.over()] == [START + IDLE + 1, START + 3 * IDLE]


def test_what_is_closed_and_what_nodes_and_pages_ask_for_is_no_wish() -> None:
    world = World()
    world.ask(0, 1, is_closed=True)
    world.ask(0, 1, face="peer")
    world.ask(0, 1, face="pages")
    assert world.over() == []


def test_so_many_sessions_are_open_at_most() -> None:
    world = World()
    for number in range(5):
        world.ask(number, number + 0.5, client=str(number))
    assert len(world.over(IDLE)) == 2


def test_a_client_stirs_and_nobody_who_only_looks() -> None:
    world = World()
    world.ask(0, 1, face="pages")
    assert not world.sessions.stirred.is_set()
    assert world.sessions.quiet == float("inf")
    exchange = Exchange("one", "GET", b"/", "hub")
    world.sessions.began(exchange)
    assert world.sessions.stirred.is_set()
    assert world.sessions.quiet == 0
    world.sessions.ended(exchange)
    world.time += 5
    assert world.sessions.quiet == 5
