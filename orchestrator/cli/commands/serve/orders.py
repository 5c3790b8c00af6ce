"""`glm-aria serve prefetch` and `serve evict`: what a server that runs is told to do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.options import Output
from orchestrator.cli.run import Run, finish
from orchestrator.cli.typed import argument, option, takes
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.sizes import format_size
from orchestrator.core.text import printable
from orchestrator.errors import GlmAriaError, PartialError, TemporaryError
from orchestrator.events import FileProgress, Phase, Queued
from orchestrator.serve.document import EvictDocument, PrefetchDocument, PrefetchedModel

if TYPE_CHECKING:
    from orchestrator.servers import RunningServer
    from orchestrator.system.signals import Stop

_WHICH = "Which server"


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """The server that is told something."""

    server: Annotated[
        str | None,
        option("--server", heading=_WHICH, metavar="URL",
               help="Tell the server at this address (default: the one that you run on this machine)."),
    ]  # fmt: skip
    server_token_file: Annotated[
        str | None,
        option("--server-token-file", heading=_WHICH, metavar="FILE",
               help="With --server: read a token of an admin from this file, instead of GLM_ARIA_SERVE_TOKEN."),
    ]  # fmt: skip
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    config: Annotated[str | None, CONFIG]


@dataclass(frozen=True, slots=True)
class PrefetchOptions:
    """The options of `serve prefetch`."""

    refs: Annotated[tuple[str, ...], argument("REF...", nargs=-1, required=True)]
    include: Annotated[tuple[str, ...], shared.what("--include", metavar="GLOB",
                                                    help="Fetch only files that match (repeatable).")]  # fmt: skip
    exclude: Annotated[tuple[str, ...], shared.what("--exclude", metavar="GLOB",
                                                    help="Skip files that match (repeatable).")]  # fmt: skip
    variant: Annotated[str | None, shared.VARIANT]
    detach: Annotated[bool, shared.rule("--detach", help="Do not wait for the end: the server goes on by itself.")]
    choice: ServerChoice
    output: Output


@dataclass(frozen=True, slots=True)
class EvictOptions:
    """The options of `serve evict`."""

    ref: Annotated[str, argument("REF")]
    choice: ServerChoice
    as_json: Annotated[bool, shared.JSON]


@click.command("prefetch", cls=HeadedCommand)
@takes(PrefetchOptions)
def prefetch(options: PrefetchOptions) -> int:
    """Have a running server fetch models before a client asks for them.

    The server fetches what it lacks, as for a client; nothing is sent to this machine. Room for a whole model is
    reserved before its first byte comes. Ctrl-C gives the wish back: what has arrived is kept, and the server goes on
    only with what clients wait for. With --detach it goes on by itself, until it is done or the server ends.

    \b
    Examples:
      glm-aria serve prefetch org/name
      glm-aria serve prefetch org/name --include '*.safetensors' --detach
      glm-aria serve prefetch org/model-GGUF:Q4_K_M
      glm-aria serve prefetch org/name --server https://mirror.lab:8090
    """
    from orchestrator.system.signals import stoppable

    settings = shared.settings(options)
    server = _server(options.choice)
    run = Run.watching(options.output, settings)
    found: list[PrefetchedModel] = []
    errors: list[GlmAriaError] = []
    with stoppable() as stop, run.watched():
        stop.is_abrupt = False
        for ref in options.refs:
            if stop.is_set():
                break
            try:
                found.append(_one(server, ref, options, run, stop))
            except GlmAriaError as error:
                errors.append(error)
        errors += [_not_whole(model) for model in found if model.failed]
        interrupted = stop.signal_number if stop.is_set() else None
    outcome = run.outcome(errors, len(options.refs), interrupted=interrupted)
    return finish(run, "serve prefetch", PrefetchDocument(server.url, tuple(found)), _print, outcome)


@click.command("evict", cls=HeadedCommand)
@takes(EvictOptions)
def evict(options: EvictOptions) -> int:
    """Have a running server remove a model from its cache.

    REF is org/name for all its revisions, or org/name@revision for one. What is pinned, or in use, stays; that is an
    error.

    \b
    Examples:
      glm-aria serve evict org/name
      glm-aria serve evict org/name@v1 --json
    """
    from orchestrator.app.commanding import command

    server = _server(options.choice)
    (told,) = command(server, "evict", {"ref": options.ref})
    found = EvictDocument(server.url, str(told.get("target", options.ref)), _count(told, "bytes_freed"))

    def show(found: EvictDocument) -> None:
        terminal.say(f"{found.target}: removed, {format_size(found.bytes_freed)} freed")

    return finish(Run(options.as_json), "serve evict", found, show)


def _server(choice: ServerChoice) -> RunningServer:
    from orchestrator.app.commanding import find_server

    token_file = Path(choice.server_token_file) if choice.server_token_file else None
    settings = shared.settings(choice)
    return find_server(settings, choice.server, token_file, is_cache_named=choice.cache_dir is not None)


def _one(server: RunningServer, ref: str, options: PrefetchOptions, run: Run, stop: Stop) -> PrefetchedModel:
    """Have one model prefetched, and tell how far it is. Raises what the server refuses it for."""
    from orchestrator.app.commanding import command

    asked = {
        "ref": ref,
        "include": options.include,
        "exclude": options.exclude,
        "variant": options.variant or "",
        "detach": options.detach,
    }
    told: Mapping[str, Any] = {}
    before: int | None = None
    since = time.monotonic()
    with closing(command(server, "prefetch", asked)) as lines:
        for told in lines:
            model = _model(ref, told)
            now = time.monotonic()
            if before is None:
                before = -1  # the server has not looked yet what is here
            else:
                if before < 0 and model.bytes_done < model.bytes_total:
                    run.emit(Queued(1, model.bytes_total - model.bytes_done))
                speed = round((model.bytes_done - before) / (now - since)) if before >= 0 and now > since else 0
                is_done = model.bytes_done == model.bytes_total
                run.emit(_progress(model, Phase.DONE if is_done else Phase.FETCHING, speed))
                before = model.bytes_done
            since = now
            if stop.is_set():
                break
        else:
            if "lost" not in told and not options.detach:
                raise TemporaryError(f"{server.url} ended before {ref} was there", hint="run it again")
    return _model(ref, told)


def _progress(model: PrefetchedModel, phase: Phase, speed: int) -> FileProgress:
    digest = Digest(Algorithm.GIT_SHA1, model.commit)  # the model is shown as one file, by its commit
    return FileProgress(digest, model.ref, phase, model.bytes_done, model.bytes_total, speed)


def _model(ref: str, told: Mapping[str, Any]) -> PrefetchedModel:
    lost = told.get("lost")
    failed = [printable(f"{one.get('file')}: {one.get('message')}") for one in lost] if lost else []
    counts = {name: _count(told, name) for name in ("files", "files_done", "bytes_total", "bytes_done")}
    return PrefetchedModel(str(told.get("ref", ref)), str(told.get("commit", "")), **counts, failed=tuple(failed))


def _count(told: Mapping[str, Any], name: str) -> int:
    value = told.get(name)
    return value if isinstance(value, int) and value >= 0 else 0


def _not_whole(model: PrefetchedModel) -> GlmAriaError:
    error = PartialError(f"{model.ref}: {len(model.failed)} file(s) were not fetched: {model.failed[0]}")
    error.details = model.failed
    return error


def _print(found: PrefetchDocument) -> None:
    for model in found.models:
        if not model.failed:
            size = f"{format_size(model.bytes_done)} of {format_size(model.bytes_total)}"
            terminal.say(f"{model.ref}: {size} in the cache of {found.server}")
