"""What a scheduler says to the board, and how losses are mended."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.swarm.board.interface import FleetBoard, Register
from orchestrator.swarm.board.memory import MemoryBoard
from orchestrator.swarm.control.scheduling.agreement import BoardWords
from orchestrator.swarm.control.scheduling.fact_codec import Key, key_of
from orchestrator.swarm.control.scheduling.facts import CancelFact, ClaimFact, Fact, LeaseFact, NodeFact
from orchestrator.swarm.view import NodeState
from tests.swarm.control.scheduling.test_fact_codec import DIGEST, NODE


class Side:
    """The words of one scheduler, and what it has learnt."""

    def __init__(self, board: FleetBoard) -> None:
        self.board = board
        self.words = BoardWords()
        self.learnt: list[tuple[Key, Fact | None]] = []

    def exchange(self) -> list[Register]:
        puts = self.words.puts()
        answer = self.board.exchange(puts, self.words.mark)
        self.words.settle(puts, answer, lambda key, fact: self.learnt.append((key, fact)))
        return puts

    @property
    def facts(self) -> list[Fact | None]:
        return [fact for _, fact in self.learnt]


def two() -> tuple[Side, Side]:
    board = MemoryBoard()
    sides = Side(board), Side(board.beside())
    for side in sides:
        side.exchange()
    return sides


def test_words_are_said_once_and_reach_the_others() -> None:
    one, other = two()
    one.words.say(NODE)
    assert len(one.exchange()) == 1
    assert one.exchange() == []
    other.exchange()
    assert other.facts == [NODE]
    assert one.facts == []


def test_newer_words_take_the_place_of_those_that_were_not_said() -> None:
    one, other = two()
    one.words.say(NODE)
    one.words.say(replace(NODE, seq=13))
    one.exchange()
    other.exchange()
    assert other.facts == [replace(NODE, seq=13)]


def test_words_that_come_during_an_exchange_are_said_with_the_next() -> None:
    one, other = two()
    one.words.say(NODE)
    puts = one.words.puts()
    one.words.say(replace(NODE, seq=13))
    one.words.settle(puts, one.board.exchange(puts, one.words.mark), lambda *_: None)
    one.exchange()
    other.exchange()
    assert other.facts[-1] == replace(NODE, seq=13)


def test_words_are_repeated_until_they_are_taken() -> None:
    one, other = two()
    one.words.say(NODE)
    other.words.say(replace(NODE, scheduler="s2"))
    other.exchange()
    one.exchange()  # the other was first
    one.exchange()
    other.exchange()
    assert other.facts == [NODE]
    assert one.facts == []


def test_of_a_node_that_was_started_again_nothing_old_is_said() -> None:
    one, other = two()
    other.words.say(replace(NODE, epoch=8))
    other.exchange()
    one.words.say(NODE)
    one.exchange()
    assert one.exchange() == []
    assert one.facts == [replace(NODE, epoch=8)]


def test_a_wish_comes_true_for_one() -> None:
    one, other = two()
    for side, node in ((one, "n1"), (other, "n2")):
        side.words.wish(LeaseFact(DIGEST, 0, f"of-{node}", node))
    one.exchange()
    other.exchange()
    one.exchange()
    assert [fact.node for fact in one.facts if isinstance(fact, LeaseFact)] == ["n1"]
    assert [fact.node for fact in other.facts if isinstance(fact, LeaseFact)] == ["n1"]
    assert other.exchange() == []


def test_the_next_wish_for_the_same_comes_true_again() -> None:
    one, other = two()
    one.words.wish(ClaimFact("t1", "n1"))
    one.exchange()
    other.exchange()
    other.words.wish(ClaimFact("t1", "n2"))
    other.exchange()
    one.exchange()
    assert one.facts[-1] == ClaimFact("t1", "n2")


def test_a_wish_is_given_up_with_its_exchange_and_words_are_not() -> None:
    one, other = two()
    one.words.say(NODE)
    one.words.wish(ClaimFact("t1", "n1"))
    one.words.puts()
    one.words.failed()
    one.exchange()
    other.exchange()
    assert other.facts == [NODE]


def test_who_is_removed_is_gone_for_all_and_may_come_back() -> None:
    one, other = two()
    one.words.say(NODE)
    one.exchange()
    other.exchange()
    other.words.remove(key_of(NODE))
    other.exchange()
    one.exchange()
    assert one.learnt == [(key_of(NODE), None)]
    one.words.say(NODE)
    one.exchange()
    other.exchange()
    assert other.facts[-1] == NODE


def test_a_board_that_lost_everything_gets_it_back_from_anyone() -> None:
    board = MemoryBoard()
    one, other = Side(board), Side(board.beside())
    one.words.say(NODE)
    one.words.say(CancelFact("t1"))
    one.exchange()
    other.exchange()
    board.lose_all()
    other.exchange()
    other.exchange()
    late = Side(board.beside())
    late.exchange()
    assert set(late.facts) == {NODE, CancelFact("t1")}
    one.exchange()
    assert one.exchange() == []
    one.words.say(replace(NODE, state=NodeState.LOST))
    one.exchange()
    late.exchange()
    assert isinstance(found := late.facts[-1], NodeFact)
    assert found.state is NodeState.LOST


def test_what_is_no_fact_is_not_learnt_and_may_be_overwritten() -> None:
    board = MemoryBoard()
    one = Side(board)
    board.beside().exchange([Register(*key_of(NODE), (7, 5), b"garbage")], None)
    one.exchange()
    assert one.facts == []
    one.words.say(NODE)
    one.exchange()
    late = Side(board.beside())
    late.exchange()
    assert late.facts == [NODE]


def test_a_register_with_the_last_of_all_numbers_is_left_alone() -> None:
    board = MemoryBoard()
    one = Side(board)
    last = 2**63 - 1
    board.beside().exchange(
        [Register(*key_of(NODE), (7, last), b"x"), Register(*key_of(ClaimFact("t1", "n1")), (0, last), b"n2")], None
    )
    one.exchange()
    one.words.say(NODE)
    one.words.wish(ClaimFact("t1", "n1"))
    one.words.remove(key_of(NODE))
    assert one.exchange() == []
