"""What a scheduler says of its nodes."""

from orchestrator.app.fleet.roll_call import RollCall
from orchestrator.events import Event, FleetNews
from orchestrator.swarm.control.messages import NodeStatus
from orchestrator.swarm.view import NodeState


def nodes(**states: NodeState) -> list[NodeStatus]:
    return [NodeStatus(name, 1, 1, "http://n:1", state) for name, state in states.items()]


def test_nodes_that_come_and_go_are_told_once() -> None:
    said: list[Event] = []
    news = RollCall(said.append)
    news.look([])
    news.look(nodes(a=NodeState.JOINING, b=NodeState.READY))
    news.look(nodes(a=NodeState.READY, b=NodeState.DRAINING))
    news.look(nodes(a=NodeState.LOST, b=NodeState.GONE))
    news.look(nodes(a=NodeState.LOST))
    news.look(nodes(a=NodeState.READY))
    news.look([])
    assert [event.message for event in said if isinstance(event, FleetNews)] == [
        "a, b have joined; 2 nodes are here",
        "a has gone without a word; b has left; 0 nodes are here",
        "a has joined; 1 node is here",
        "a has left; 0 nodes are here",
    ]


def test_of_many_some_are_named() -> None:
    said: list[Event] = []
    RollCall(said.append).look(nodes(**{f"n{number}": NodeState.READY for number in range(8)}))
    assert [event.message for event in said if isinstance(event, FleetNews)] == [
        "n0, n1, n2, n3, n4, 3 more have joined; 8 nodes are here"
    ]
