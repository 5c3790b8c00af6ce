"""A plan as an input file for plain `aria2c -i`."""

from __future__ import annotations

from pathlib import Path

from orchestrator import __version__
from orchestrator.app.compose import sources_of
from orchestrator.core.files import Algorithm
from orchestrator.core.plan import Job, Plan
from orchestrator.disk.atomic import write_file
from orchestrator.settings import Settings
from orchestrator.templating import render


def write_aria2_input(settings: Settings, plan: Plan, path: Path) -> None:
    """Write one that fetches the plan's jobs into folders beside it. It holds no secret."""
    entries = [
        {
            "uris": _addresses(settings, job),
            "dir": f"{path.stem}.d/{job.origins[0].repo.folder}",
            "out": job.name,
            "sha256": job.digest.hex if job.digest.algorithm is Algorithm.SHA256 else None,
        }
        for job in plan.jobs
    ]
    models = [f"{model.model.ref} = {model.model.commit}" for model in plan.models]
    write_file(path, render("aria2.input", version=__version__, models=models, entries=entries), path.parent)


def _addresses(settings: Settings, job: Job) -> list[str]:
    """Addresses of the blob; for a closed repo only that of the site that listed it, see `Sites.may_hear`."""
    if (site := job.origins[0].site) is not None:
        return [site.file_url(job.origins[0])]
    sources = sources_of(settings, job.origins[0].kind)
    return [source.file_url(job.origins[0]) for source in (sources[:1] if job.is_restricted else sources)]
