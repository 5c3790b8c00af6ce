"""Intake: the events of a depot, counted, with plain values."""

from __future__ import annotations

from orchestrator.core.files import Digest
from orchestrator.events import Evicted, FileProgress, Notice, Phase, SourceRates
from orchestrator.serve.pages.intake import Intake

BLOB = Digest.parse(f"sha256:{'a' * 64}")


def progress(phase: Phase, done: int = 0, speed: int = 0) -> FileProgress:
    return FileProgress(BLOB, "f", phase, done, 100, speed)


def test_a_file_is_on_its_way_until_it_is_done() -> None:
    intake = Intake()
    intake.take(progress(Phase.FETCHING, 40, 7))
    assert [one.done for one in intake.state().transfers] == [40]
    intake.take(progress(Phase.DONE, 100))
    state = intake.state()
    assert (state.transfers, state.files, state.failed, state.proven) == ((), 1, 0, 100)
    intake.take(progress(Phase.FETCHING))
    intake.take(progress(Phase.FAILED))
    assert intake.state().failed == 1


def test_bytes_of_a_source_add_up_over_transfers_that_begin_anew() -> None:
    intake = Intake()
    for sent in (10, 30, 5):
        intake.take(SourceRates((("near", 2.0, 3),), (("near", sent),)))
    ((name, taken),) = intake.state().sources
    assert (name, taken.sent) == ("near", 35)


def test_a_rate_is_told_while_bytes_come() -> None:
    intake = Intake()
    intake.take(SourceRates((("near", 2.0, 3),), (("near", 10),)))
    assert intake.state().sources[0][1].rate == 0
    intake.take(progress(Phase.FETCHING, 1, 2))
    assert intake.state().sources[0][1].rate == 2.0


def test_who_lied_is_out_and_who_is_down_is_not() -> None:
    intake = Intake(clock=lambda: 5.0)
    intake.take(Notice("mirror-lied", "it lied", mirror="liar"))
    intake.take(Notice("mirror-down", "it is down", mirror="far"))
    intake.take(Evicted("org/m@123", 2000))
    state = intake.state()
    assert [(name, one.lies, one.is_quarantined) for name, one in state.sources] == [("liar", 1, True)]
    assert [(one.number, one.at, one.code) for one in state.news] == [
        (1, 5.0, "mirror-lied"),
        (2, 5.0, "mirror-down"),
        (3, 5.0, "evicted"),
    ]


def test_secrets_and_control_characters_are_taken_out_of_news() -> None:
    intake = Intake()
    intake.take(Notice("odd", "see http://u:p@host/x?sig=secret \x1b[2J"))
    (news,) = intake.state().news
    assert news.message == "see http://***@host/x?*** \\x1b[2J"


def test_sources_of_any_number_are_few_labels() -> None:
    intake = Intake()
    for number in range(500):
        intake.take(SourceRates(((f"s{number}", 1.0, 1),), ((f"s{number}", 1),)))
    sources = dict(intake.state().sources)
    assert len(sources) == 65
    assert sum(taken.sent for taken in sources.values()) == 500
