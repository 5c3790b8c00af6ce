"""The result of `pull` as text: where each model lies on stdout, the rest on stderr."""

from __future__ import annotations

from orchestrator.cli import terminal
from orchestrator.core.refs import of_registry
from orchestrator.core.sizes import format_duration, format_size, format_speed
from orchestrator.core.sources import Sent, node_of
from orchestrator.core.text import counted, printable, redacted
from orchestrator.core.trust import Level
from orchestrator.documents import TrustEntry
from orchestrator.pulling.document import REUSED, PullDocument, PulledModel
from orchestrator.pulling.report import FileState


def print_pull(report: PullDocument, *, quiet: bool = False, verbose: bool = False) -> None:
    """Print each model, and where it lies."""
    for model in report.models:
        if not quiet:
            _say_model(model, verbose=verbose)
        place = model.local_dir or model.snapshot
        if place is not None and model.error is None:
            terminal.result(place)


def _say_model(model: PulledModel, *, verbose: bool) -> None:
    if verbose:
        for item in model.files:
            sources = ", ".join(f"{name} {format_size(count)}" for name, count in sorted(item.sources.items()))
            line = f"  {item.state.value:<8}{format_size(item.size):>9}  {item.path}"
            terminal.say(printable(line + (f"  ({sources})" if sources else "")))
    if model.commit is None:
        return
    fetched, reused = model.bytes_fetched, model.bytes_reused
    done = sum(item.state in (FileState.FETCHED, *REUSED) for item in model.files)
    share = "" if done == len(model.files) else f"{done} of "
    parts = [f"{share}{counted(len(model.files), 'file')}"]
    # Of a file that an earlier run began, only what came now has a sender; under several names it came once.
    came = {item.digest: sum(item.sources.values()) for item in model.files if item.state is FileState.FETCHED}
    sent = sum(came.values())
    was_begun = sent < fetched
    parts += [f"{format_size(fetched)} fetched{f', {format_size(sent)} of them now' * was_begun}"] if fetched else []
    parts += [f"{format_size(reused)} already here"] if reused else []
    failed = [item.path for item in model.files if item.state is FileState.LOST]
    parts += [f"{failed[0]!r}{f' and {len(failed) - 1} more' if failed[1:] else ''} failed"] if failed else []
    parts += [format_duration(model.seconds)]
    parts += [format_speed(sent / model.seconds)] if sent and not share and model.seconds > 0 else []
    terminal.say(printable(f"{model.ref}: {', '.join(parts)}"))
    if model.bytes_from_peers:
        terminal.say(printable(f"  {'of these ' * was_begun}{_origins(model.sent)}"))
    if model.trust:
        parts = [f"version {model.version}"] if model.version else []
        parts += [f"commit {model.commit}", _words(model.trust, model.ref)]
        parts += [f"signed by the key {model.signed_by}"] if model.signed_by else []
        terminal.say(redacted(f"  {', '.join(parts)}"))


def _origins(sent: Sent) -> str:
    """The senders with their parts: `12 % from huggingface.co, 88 % from 2 machines (alpha 60 %, beta 28 %)`."""
    everything = sum(sent.values())
    shares = [
        (name, f"{_percent(count, everything)} %") for name, count in sorted(sent.items(), key=lambda one: -one[1])
    ]
    peers = [f"{node} {share}" for name, share in shares if (node := node_of(name))]
    others = [f"{share} from {name}" for name, share in shares if not node_of(name)]
    from_peers = sum(count for name, count in sent.items() if node_of(name))
    count = counted(len(peers), "machine")
    return ", ".join((*others, f"{_percent(from_peers, everything)} % from {count} ({', '.join(peers)})"))


def _percent(count: int, everything: int) -> int:
    return round(100 * count / everything)


def _words(trust: TrustEntry, ref: str) -> str:
    """The level reached, in one line."""
    others = " and ".join(trust.confirmed_by)
    match trust.level:
        case Level.ROOT:
            return f"every digest from the root: {trust.source}"
        case Level.LOCK:
            return f"every digest from the lock file: {trust.source}"
        case Level.AGREE:
            return f"every digest agreed by {trust.source} and {others}, without the root"
        case Level.COMMIT:
            return f"every digest verified by the commit itself: listed by {trust.source}, git objects from {others}"
        case Level.SINGLE if of_registry(ref):
            return f"every digest from its registry: {trust.source}"
        case Level.SINGLE:
            return f"every digest from a single source, without confirmation: {trust.source}"
