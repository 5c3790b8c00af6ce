"""A plan as text: it is the result, so it goes to stdout."""

from __future__ import annotations

from orchestrator.cli import terminal
from orchestrator.core.sizes import format_size
from orchestrator.pulling.document import PlanDocument


def print_plan(plan: PlanDocument) -> None:
    """Print each model with its files, then the sums. A model that could not be planned is told as an error."""
    planned = [model for model in plan.models if model.trust is not None]
    for model in planned:
        version = f"  version {model.version}" if model.version else ""
        signed = f"  signed by the key {model.signed_by}" if model.signed_by else ""
        terminal.show(f"{model.ref}{version}  commit {model.commit}{signed}")
        for item in model.files:
            terminal.show(f"  {item.action.value:<6}{format_size(item.size):>9}  {item.path}")
    if planned:
        _print_totals(plan)


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
