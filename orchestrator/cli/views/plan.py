"""A plan as text: it is the result, so it goes to stdout."""

from __future__ import annotations

from orchestrator.cli import terminal
from orchestrator.cli.views.table import show
from orchestrator.core.sizes import format_size
from orchestrator.pulling.document import ModelToPull, PlanDocument


def print_plan(plan: PlanDocument, *, by_folder: bool = False) -> None:
    """Print each model with its files or folders, then the sums. A model that could not be planned is told as an
    error."""
    planned = [model for model in plan.models if model.trust is not None]
    for model in planned:
        version = f"  version {model.version}" if model.version else ""
        signed = f"  signed by the key {model.signed_by}" if model.signed_by else ""
        terminal.show(f"{model.ref}{version}  commit {model.commit}{signed}")
        if by_folder:
            _print_folders(model)
            continue
        for item in model.files:
            terminal.show(f"  {item.action.value:<6}{format_size(item.size):>9}  {item.path}")
    if planned:
        _print_totals(plan)


def _print_folders(model: ModelToPull) -> None:
    rows = [
        (format_size(one.bytes_total), format_size(one.bytes_to_fetch), str(one.files), one.path)
        for one in model.folders
    ]
    show(("SIZE", "TO FETCH", "FILES", "FOLDER"), rows, indent="  ", whole="FOLDER")


def _print_totals(plan: PlanDocument) -> None:
    here = sum(model.bytes_present for model in plan.models)
    linked = sum(model.bytes_linked for model in plan.models)
    terminal.result(
        f"total: {format_size(plan.bytes_to_fetch)} to fetch in {plan.files_to_fetch} file(s), "
        f"{format_size(here)} present, {format_size(linked)} linked"
    )
    if plan.disk:
        fits = "" if plan.disk.fits else "; THIS DOES NOT FIT"
        terminal.show(f"disk: {format_size(plan.disk.bytes_free)} free on {plan.disk.path}{fits}")
