"""`glm-aria push`: a folder becomes a version of a model in a registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.options import Output
from orchestrator.cli.run import Run, finish
from orchestrator.cli.typed import argument, option, takes
from orchestrator.core.sizes import format_size
from orchestrator.core.text import counted, printable
from orchestrator.disk import places
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.publishing.document import PushDocument
    from orchestrator.publishing.push import PushReport, PushRequest
    from orchestrator.publishing.targets import TagTarget, VersionTarget
    from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class PushOptions:
    """The options of `push`."""

    folder: Annotated[str, argument("DIR")]
    target: Annotated[str, argument("TARGET")]
    alias: Annotated[
        str | None, option("--alias", metavar="NAME", help="Have this alias stand for the version once it is there.")
    ]
    sign: Annotated[
        str | None, option("--sign", metavar="KEYFILE", help="Sign the files of the version by this private key (PEM).")
    ]
    include: Annotated[
        tuple[str, ...], option("--include", metavar="GLOB", help="Push only files that match (repeatable).")
    ]
    exclude: Annotated[
        tuple[str, ...], option("--exclude", metavar="GLOB", help="Leave out files that match (repeatable).")
    ]
    mount_from: Annotated[
        tuple[str, ...],
        option("--mount-from", metavar="NAME", help="A repository of the same oci:// registry that may have some of "
               "the files already: they are not sent again (repeatable)."),
    ]  # fmt: skip
    watch: Annotated[
        bool,
        option("--watch", help="Push again on each save until Ctrl-C, as the development versions 1.2.3-dev.1, "
               "1.2.3-dev.2, … of the release 1.2.3."),
    ]  # fmt: skip
    dry_run: Annotated[bool, option("--dry-run", help="Say what would be sent, and send nothing.")]
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    config: Annotated[str | None, CONFIG]
    output: Output


@click.command()
@takes(PushOptions)
def push(options: PushOptions) -> int:
    """Push a folder as a version of a model.

    TARGET is reg://team/model:1.2.3 for the registry of GLM_ARIA_REGISTRY (see `glm-aria registry`), or
    oci://host/team/model:1.2.3 for any OCI registry, after `glm-aria registry login host`. All files of DIR belong to
    the version, but those of git and of other programs' caches; a snapshot of the cache keeps where it came from.

    Files are hashed first, and what the registry has is not sent. A push that was stopped goes on when it is run again.
    Only when all is there the version can be seen; it never changes after that. --sign vouches for its files, for
    `glm-aria pull --verify-signature`; a version that is there is signed by pushing it again.

    \b
    Examples:
      glm-aria push ./model reg://team/model:1.2.3 --alias staging
      glm-aria push ./model reg://team/model:1.2.3 --sign model.key
      glm-aria push ./model oci://127.0.0.1:5000/team/model:1.2.3 --dry-run
      glm-aria push ./lora reg://team/lora:1.3.0 --watch --alias dev
      glm-aria push ~/.cache/huggingface/hub/models--org--name/snapshots/COMMIT reg://team/name:1.0.0
    """
    from orchestrator.app.registry.pushing import push_folder
    from orchestrator.app.signing import private_key_at
    from orchestrator.publishing.document import PushDocument
    from orchestrator.publishing.push import PushRequest
    from orchestrator.publishing.targets import VersionTarget, parse_push_target

    target = parse_push_target(options.target)
    if options.mount_from and isinstance(target, VersionTarget):
        raise UsageError(
            "--mount-from is for oci:// targets", hint="leave it out: former versions are looked at anyway"
        )
    settings = shared.settings(options)
    run = Run.watching(options.output, settings)
    folder = Path(places.absolute(options.folder))
    key = private_key_at(places.expanded(options.sign)) if options.sign else None
    request = PushRequest(folder, options.include, options.exclude, options.alias, is_dry_run=options.dry_run, key=key)
    if options.watch:
        return _on_each_save(options, settings, request, target, run)
    with run.watched():
        report = push_folder(settings, request, target, options.mount_from, run.emit)

    def show(found: PushDocument) -> None:
        if found.is_dry_run or options.output.verbose:
            for file in found.files:
                how = "is there" if file.fate == "keep" else f"from {file.mounted}" if file.mounted else "is sent"
                terminal.show(printable(f"{file.path}  {format_size(file.size)}  {how}"))
        if not run.is_quiet:
            terminal.say(_summary(found))
        terminal.result(found.digest)

    return finish(run, "push", PushDocument.of(report), show)


def _on_each_save(
    options: PushOptions, settings: Settings, request: PushRequest, target: TagTarget | VersionTarget, run: Run
) -> int:
    from orchestrator.app.registry.pushing import push_folder_on_save
    from orchestrator.publishing.document import PushDocument

    if options.dry_run:
        raise UsageError("--watch pushes, and --dry-run does not", hint="leave one of them out")

    def on_push(report: PushReport) -> None:
        found = PushDocument.of(report)
        if not run.is_quiet:
            terminal.say(_summary(found))
        if not run.as_json:
            terminal.result(found.digest)

    with run.watched():
        report, signal_number = push_folder_on_save(
            settings, request, target, options.mount_from, on_push=on_push, emit=run.emit_lasting
        )
    outcome = run.outcome((), 1, interrupted=signal_number)
    return finish(run, "push", PushDocument.of(report), lambda _: None, outcome)


def _summary(found: PushDocument) -> str:
    what = f"{found.name}@{found.version}: {counted(len(found.files), 'file')}, {format_size(found.size)}"
    if found.is_dry_run:
        missing = sum({one.digest: one.size - one.begun for one in found.files if one.fate == "bring"}.values())
        return printable(f"{what}; {format_size(missing)} would be sent")
    signed = f"; signed by {found.signed_by}" if found.signed_by and not found.is_dry_run else ""
    moved = f"; {found.alias} stands for it" if found.alias else ""
    there = "; it was there already" if found.was_there else f", {format_size(found.sent)} sent"
    return printable(f"{what}{there}{signed}{moved}")
