"""What a pull's report leaves in the history."""

from __future__ import annotations

from orchestrator.doctor.history import Past
from orchestrator.pull.report import FileState, ModelReport, PullReport


def entries_of(report: PullReport, now: float) -> tuple[Past, ...]:
    """One for each model that fetched bytes."""
    return tuple(
        Past(now, model.ref, fetched, model.seconds, _sent(model))
        for model in report.models
        if (fetched := model.bytes_of(FileState.FETCHED))
    )


def _sent(model: ModelReport) -> dict[str, int]:
    sent: dict[str, int] = {}
    # A blob under several names came once.
    for item in {item.file.digest: item for item in model.files if item.state is FileState.FETCHED}.values():
        for name, count in item.sources.items():
            sent[name] = sent.get(name, 0) + count
    return sent
