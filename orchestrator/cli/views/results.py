"""The one renderer of results: text for people, or the JSON document of the contract. Decides the exit code, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.cli import terminal
from orchestrator.core.sizes import format_duration, format_size, format_speed
from orchestrator.core.trust import Level, Trust
from orchestrator.errors import GlmAriaError, Interrupted, PartialError, StrictError
from orchestrator.events import Notice
from orchestrator.pull.report import FileReport, FileState, ModelReport, PullReport

SCHEMA = "glm-aria/1"
_REUSED = (FileState.PRESENT, FileState.LINKED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended: one of success, partial, error, interrupted; the exit code; and every error, in order."""

    status: str
    exit_code: int
    errors: tuple[GlmAriaError, ...] = ()


def judge(
    errors: Sequence[GlmAriaError],
    models: int,
    notices: Sequence[Notice] = (),
    *,
    interrupted: int | None = None,
    strict: bool = False,
) -> Verdict:
    """The verdict on a run over `models` models, of which each error ended one.

    A signal outranks all else. Failures of one class among models that all failed keep that class's exit code; any
    other mixture is 3. Warnings count only with `strict`, and only when nothing failed.
    """
    if interrupted is not None:
        stop = Interrupted(interrupted)
        others = (error for error in errors if not isinstance(error, Interrupted))
        return Verdict("interrupted", stop.exit_code, (*others, stop))
    if errors:
        codes = {error.exit_code for error in errors}
        all_failed = len(errors) >= models
        exit_code = codes.pop() if all_failed and len(codes) == 1 else PartialError.exit_code
        return Verdict("error" if all_failed else "partial", exit_code, tuple(errors))
    if strict and notices:
        error = StrictError(f"done, with {len(notices)} warning(s), which --strict makes an error")
        return Verdict("success", error.exit_code, (error,))
    return Verdict("success", 0)


def errors_of(models: Iterable[ModelReport]) -> tuple[GlmAriaError, ...]:
    """What ended each model that is not done."""
    return tuple(error for model in models if (error := _error_of(model)) is not None)


def _error_of(model: ModelReport) -> GlmAriaError | None:
    if model.error is not None:
        return model.error
    failed = [item.file.path for item in model.files if item.state is FileState.FAILED]
    if not failed:
        return None
    return PartialError(f"{model.ref}: {len(failed)} file(s) failed", hint="run the same command again", file=failed[0])


def envelope(
    command: str, verdict: Verdict, data: Mapping[str, object], notices: Iterable[Notice] = ()
) -> dict[str, object]:
    """The document that every command prints with `--json`."""
    return {
        "schema": SCHEMA,
        "command": command,
        "status": verdict.status,
        "exit_code": verdict.exit_code,
        "data": data,
        "warnings": [_notice(notice) for notice in notices],
        "errors": [_error(error) for error in verdict.errors],
    }


def failure(command: str, error: GlmAriaError) -> dict[str, object]:
    """The document for an error that ended the command before it had a result."""
    status = "interrupted" if isinstance(error, Interrupted) else "error"
    empty = {"pull": "models", "plan": "models", "verify": "files", "watch": "watches"}
    data: dict[str, object] = {empty[command]: []} if command in empty else {}
    return envelope(command, Verdict(status, error.exit_code, (error,)), data)


def pull_document(report: PullReport, verdict: Verdict, notices: Iterable[Notice]) -> dict[str, object]:
    """The document of `pull`."""
    return envelope("pull", verdict, {"models": [_model(model) for model in report.models]}, notices)


def _model(model: ModelReport) -> dict[str, Any]:
    return {
        "ref": str(model.ref),
        "commit": model.commit,
        "trust": trust_of(model.trust) if model.trust else None,
        "snapshot": str(model.snapshot) if model.snapshot else None,
        "local_dir": str(model.local_dir) if model.local_dir else None,
        "files": [_file(item) for item in model.files],
        "bytes_total": model.bytes_of(*FileState),
        "bytes_fetched": model.bytes_of(FileState.FETCHED),
        "bytes_reused": model.bytes_of(*_REUSED),
        "seconds": round(model.seconds, 3),
        "error": error.code if (error := _error_of(model)) else None,
    }


def trust_of(trust: Trust) -> dict[str, Any]:
    """How far a listing was to be believed, for the JSON of any command."""
    return {"level": trust.level, "source": trust.source, "confirmed_by": list(trust.confirmed_by)}


def _file(item: FileReport) -> dict[str, Any]:
    return {
        "path": item.file.path,
        "size": item.file.size,
        "digest": str(item.file.digest),
        "state": item.state.value,
        "sources": dict(item.sources),
    }


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "code": notice.code,
        "message": terminal.message(notice.message),
        "mirror": notice.mirror,
        "file": notice.file,
    }


def _error(error: GlmAriaError) -> dict[str, Any]:
    return {
        "code": error.code,
        "exit_code": error.exit_code,
        "message": terminal.message(error.message),
        "file": error.file,
        "mirror": error.source,
        "hint": terminal.message(error.hint) if error.hint else None,
        "details": [terminal.message(line) for line in error.details],
        "retryable": error.retryable,
        "resumable": error.resumable,
    }


def say_error(error: GlmAriaError) -> None:
    """An error for people: what failed, then what to do about it."""
    terminal.say(f"error: {terminal.message(error.message)}")
    for line in error.details:
        terminal.say(f"  {terminal.message(line)}")
    if error.hint:
        terminal.say(f"hint: {terminal.message(error.hint)}")


def say_notice(notice: Notice) -> None:
    """A warning for people."""
    terminal.say(f"warning: {terminal.message(notice.message)}")


def say_left_out(paths: Sequence[str]) -> None:
    """One line for all that lies in the cache and is no part of it."""
    if paths:
        more = f" and {len(paths) - 1} more" if paths[1:] else ""
        terminal.say(f"left out, no part of a model: {terminal.message(paths[0])}{more}")


def print_pull(report: PullReport, verdict: Verdict, *, quiet: bool = False, verbose: bool = False) -> None:
    """The result as text: where each model lies on stdout, the rest on stderr."""
    for model in report.models:
        if not quiet:
            _say_model(model, verbose=verbose)
        place = model.local_dir or model.snapshot
        if place is not None and _error_of(model) is None:
            terminal.result(str(place))
    for error in verdict.errors:
        say_error(error)


def _say_model(model: ModelReport, *, verbose: bool) -> None:
    if verbose:
        for item in model.files:
            sources = ", ".join(f"{name} {format_size(count)}" for name, count in sorted(item.sources.items()))
            terminal.say(
                terminal.printable(
                    f"  {item.state.value:<8}{format_size(item.file.size):>9}  {item.file.path}"
                    + (f"  ({sources})" if sources else "")
                )
            )
    if model.commit is None:
        return
    fetched, reused = model.bytes_of(FileState.FETCHED), model.bytes_of(*_REUSED)
    done = sum(item.state in (FileState.FETCHED, *_REUSED) for item in model.files)
    share = "" if done == len(model.files) else f"{done} of "
    parts = [f"{share}{len(model.files)} file{'' if len(model.files) == 1 else 's'}"]
    parts += [f"{format_size(fetched)} fetched"] if fetched else []
    parts += [f"{format_size(reused)} already here"] if reused else []
    parts += [format_duration(model.seconds)]
    parts += [format_speed(fetched / model.seconds)] if fetched and not share and model.seconds > 0 else []
    terminal.say(terminal.printable(f"{model.ref}: {', '.join(parts)}"))
    if model.trust:
        terminal.say(terminal.message(f"  commit {model.commit}, {_words(model.trust)}"))


def _words(trust: Trust) -> str:
    """The level reached, in one line."""
    others = " and ".join(trust.confirmed_by)
    match Level(trust.level):
        case Level.ROOT:
            return f"every digest from the root: {trust.source}"
        case Level.LOCK:
            return f"every digest from the lock file: {trust.source}"
        case Level.AGREE:
            return f"every digest agreed by {trust.source} and {others}, without the root"
        case Level.COMMIT:
            return f"every digest proven by the commit itself: listed by {trust.source}, git objects from {others}"
        case Level.SINGLE:
            return f"every digest from a single source, which nobody confirmed: {trust.source}"
