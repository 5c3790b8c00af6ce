"""The tables of `mirrors`, from plain values."""

from __future__ import annotations

import pytest

from orchestrator.cli.views.sources import show_known, show_probed
from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.sources import Source
from orchestrator.doctor.facts import Freshness, SourceFacts
from orchestrator.doctor.source_documents import KnownSources, ProbeDocument
from orchestrator.doctor.survey import Survey
from orchestrator.errors import ProtocolError
from orchestrator.mirrors.probe import Probe
from orchestrator.mirrors.stats import Evidence, Quarantine, Remembered, Stats

NOW = 1_800_000_000.0
ROOT = Source("hub", "https://hub", is_root=True)
NEAR = Source("near", "https://near")
MS = Source("ms", "https://ms", MODELSCOPE)
EVIDENCE = Evidence("w\x1b[31m.bin", "sha256:aa", "sha256:bb", 0, 9)
BAD = Quarantine(NOW, "sent wrong bytes", EVIDENCE)
MEMORY = Stats(
    NOW,
    {
        "hub": Remembered("hub", 0.23, 1.1e6, None, 0, NOW - 7300, NOW - 7300),
        "ms": Remembered("ms", 0.03, 9e6, 120e6, 0, NOW - 5, NOW - 5),
        "near": Remembered("near", quarantine=BAD),
        "old.example": Remembered("old", quarantine=Quarantine(NOW, "lied")),
    },
)


def test_what_is_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    show_known(KnownSources.of((ROOT, NEAR, MS), MEMORY), NOW)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["source", "ms", "hub", "near", "old", "near:", "old:"]
    assert lines[1].split() == ["ms", "30", "ms", "9.0", "120", "0", "5.0", "s", "ago", "-"]
    assert lines[2].split()[:8] == ["hub", "(root)", "230", "ms", "1.1", "-", "0", "2"]
    assert "never" in lines[3]
    assert lines[6] == "old: lied; to use it again: glm-aria mirrors forgive old"


def test_names_from_outside_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    error = ProtocolError("near answered \x1b]0;x\x07 at https://near/x?Signature=abc")
    rows = (SourceFacts(NEAR, Probe(NEAR, error=error), Freshness.ABSENT, quarantine=BAD),)
    show_probed(ProbeDocument.of(Survey(rows)))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "Signature" not in out
    assert "\\x1b[31m.bin" in out
    assert "bytes 0 to 9: expected sha256:aa, got sha256:bb" in out


def test_a_probe(capsys: pytest.CaptureFixture[str]) -> None:
    probe = Probe(MS, latencies=(0.1, 0.3, 0.2), lost=1, rate_one=2e6, rate_many=8e6, connections=8, ranges=True,
                  http=("h2", "http/1.1", "h3"))  # fmt: skip
    found = Survey((SourceFacts(ROOT, Probe(ROOT)), SourceFacts(MS, probe, Freshness.STALE, 2, 3)))
    show_probed(ProbeDocument.of(found))
    head, first, second = capsys.readouterr().out.splitlines()
    assert "MB/s 8" in head
    assert first.split() == ["hub", "(root)", "-", "-", "-", "-", "unknown", "-", "-", "-"]
    assert second.split() == [
        "ms", "200", "±150", "ms", "25%", "2.0", "8.0", "stale", "(2", "of", "3)", "yes", "h2", "1.1", "h3", "-"
    ]  # fmt: skip


def test_the_data() -> None:
    found = KnownSources.of((ROOT, NEAR, MS), MEMORY).sources
    assert [(item.name, item.rank, item.url) for item in found] == [
        ("ms", 1, "https://ms"),
        ("hub", 2, "https://hub"),
        ("near", None, "https://near"),
        ("old", None, None),
    ]
    assert found[2].quarantine is BAD
    document = ProbeDocument.of(Survey((SourceFacts(MS, Probe(MS, latencies=(0.2,))),)))
    (source,) = document.sources
    assert (source.latency, source.loss, source.jitter, source.dns) == (0.2, 0, None, None)
    assert document.ref is None
