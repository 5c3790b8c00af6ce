"""A plan as text or as JSON."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.cli import terminal
from orchestrator.cli.views import results
from orchestrator.cli.views.results import Verdict
from orchestrator.core.plan import Action, ModelPlan, Plan
from orchestrator.core.sizes import format_size
from orchestrator.events import Notice
from orchestrator.pull.report import ModelReport

_HERE = (Action.KEEP, Action.CHECK)


class Disk(NamedTuple):
    """The file system that the cache is on, or would be: its free bytes, and the folder that tells."""

    path: Path
    free: int


def disk_of(cache_dir: Path) -> Disk | None:
    """Ask the nearest folder that exists; None when the system does not say."""
    for folder in (cache_dir, *cache_dir.parents):
        try:
            return Disk(folder, shutil.disk_usage(folder).free)
        except OSError:
            continue
    return None


def document(
    plan: Plan, failed: Sequence[ModelReport], verdict: Verdict, notices: Iterable[Notice], disk: Disk | None
) -> dict[str, object]:
    """The document of `plan`. Models that could not be planned have no files."""
    data = {
        "models": [_model(model) for model in plan.models] + [_failed(report) for report in failed],
        "files_to_fetch": len(plan.jobs),
        "bytes_to_fetch": plan.bytes_to_fetch,
        "disk": {"path": str(disk.path), "bytes_free": disk.free, "fits": disk.free >= plan.bytes_to_fetch}
        if disk
        else None,
    }
    return results.envelope("plan", verdict, data, notices)


def _model(plan: ModelPlan) -> dict[str, Any]:
    model = plan.model
    return {
        "ref": str(model.ref),
        "commit": model.commit,
        "trust": results.trust_of(model.trust),
        "files": [
            {
                "path": item.file.path,
                "size": item.file.size,
                "digest": str(item.file.digest),
                "action": item.action.value,
            }
            for item in plan.files
        ],
        "bytes_total": plan.bytes_of(*Action),
        "bytes_to_fetch": plan.bytes_of(Action.FETCH),
        "bytes_present": plan.bytes_of(*_HERE),
        "bytes_linked": plan.bytes_of(Action.LINK),
    }


def _failed(report: ModelReport) -> dict[str, Any]:
    return {"ref": str(report.ref), "commit": report.commit, "trust": None, "files": []} | dict.fromkeys(
        ("bytes_total", "bytes_to_fetch", "bytes_present", "bytes_linked"), 0
    )


def print_plan(plan: Plan, verdict: Verdict, disk: Disk | None) -> None:
    """The plan as text: it is the result, so it goes to stdout."""
    for model in plan.models:
        terminal.result(terminal.printable(f"{model.model.ref}  commit {model.model.commit}"))
        for item in model.files:
            terminal.result(
                terminal.printable(f"  {item.action.value:<6}{format_size(item.file.size):>9}  {item.file.path}")
            )
    if plan.models:
        _print_totals(plan, disk)
    for error in verdict.errors:
        results.say_error(error)


def _print_totals(plan: Plan, disk: Disk | None) -> None:
    here = sum(model.bytes_of(*_HERE) for model in plan.models)
    linked = sum(model.bytes_of(Action.LINK) for model in plan.models)
    terminal.result(
        f"total: {format_size(plan.bytes_to_fetch)} to fetch in {len(plan.jobs)} file(s), "
        f"{format_size(here)} present, {format_size(linked)} linked"
    )
    if disk:
        fits = "" if disk.free >= plan.bytes_to_fetch else "; THIS DOES NOT FIT"
        terminal.result(terminal.printable(f"disk: {format_size(disk.free)} free on {disk.path}{fits}"))
