"""`glm-aria pull` and `glm-aria plan`: options to one call of the services, its report to the output."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import click

from orchestrator.cli import lock_files, requests, terminal
from orchestrator.cli import options as shared
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.options import Output, PeerOptions, Select, TransferOptions, output, rule, what, where
from orchestrator.cli.resuming import Resumed, asked_run, resumed_run, say_resumed
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.single_file import sha256_digest, warn_of_plain_http
from orchestrator.cli.typed import argument, takes
from orchestrator.disk import places
from orchestrator.errors import UsageError
from orchestrator.lists.request import Item, PullRequest
from orchestrator.pulling.report import PullReport, failures_of
from orchestrator.settings import Settings
from orchestrator.settings.secrets import without_secrets
from orchestrator.watch.on_change import Hook

if TYPE_CHECKING:
    from orchestrator.pulling.document import PullDocument

_URL = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WantedOptions:
    """The common options of `pull` and `plan`."""

    refs: Annotated[tuple[str, ...], argument("REF...")]
    lists: Annotated[
        tuple[str, ...], what("-f", "--file", metavar="LIST", help="Also take models from a list; - is stdin.")
    ]
    select: Select
    local_dir: Annotated[
        str | None, where("--local-dir", metavar="DIR", help="Also make a plain folder with the files of the model.")
    ]
    transfer: TransferOptions
    offline: Annotated[
        bool, rule("--offline", setting="offline", help="Ask no server: succeed only if all files are in the cache.")
    ]
    force: Annotated[bool, rule("--force", help="Fetch all files again, and replace your own files in --local-dir.")]
    strict: Annotated[bool, shared.STRICT]
    allow_outside: Annotated[bool, shared.ALLOW_OUTSIDE]


ARIA2_INPUT = output(
    "--aria2-input", metavar="FILE", help="With --dry-run: write an input file for aria2c -i, without secrets."
)


@dataclass(frozen=True, slots=True)
class PullOptions:
    """The options of `pull`."""

    wanted: WantedOptions
    resume_last: Annotated[
        bool, what("--resume-last", help="Go on with the newest pull that was stopped: its models, its options.")
    ]
    resume: Annotated[
        int | None,
        what(
            "--resume", type=click.IntRange(1), metavar="ID", help="Go on with the pull of this ID in glm-aria status."
        ),
    ]
    peers: PeerOptions
    lock: Annotated[
        str | None,
        rule("--lock", metavar="FILE", help="Record the bytes of these models in FILE; keep the other models in it."),
    ]
    sha256: Annotated[
        str | None,
        what("--sha256", metavar="HEX", help="Digest of the file, if REF is the https:// address of a single file."),
    ]
    on_change: Annotated[str | None, shared.ON_CHANGE]
    dry_run: Annotated[bool, rule("--dry-run", help="Show what would be done, without doing it.")]
    aria2_input: Annotated[str | None, ARIA2_INPUT]
    notify: Annotated[tuple[str, ...], shared.NOTIFY]
    output: Output


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The options of `plan`: those of `pull` without `--dry-run`, which it implies, and single files."""

    wanted: WantedOptions
    aria2_input: Annotated[str | None, ARIA2_INPUT]
    by_folder: Annotated[bool, output("--by-folder", help="Show folders with all that is below them, not each file.")]
    output: Output


@click.command("pull", cls=HeadedCommand)
@takes(PullOptions)
def pull(options: PullOptions) -> int:
    """Fetch models, verify every file, and place them in the Hugging Face cache.

    \b
    REF is one of
      [hf://]org/name[@revision]        a model; ms:// is ModelScope
      org/name:Q4_K_M[@revision]        its GGUF files in this quantisation
      oci://HOST/org/name[:tag]         a model in an OCI registry
      reg://team/model[@version]        one of your own registry; ranges, aliases
      datasets/org/name, spaces/org/name
      https://host/file                 a single file, with --sha256
      REF FILE...                       only these files, as in hf download

    A word after a REF is one of its files, unless it can only be another REF: org/other, hf://name, name@revision.

    Prints the folder of each model on stdout at the end; everything else goes to stderr. Commits and digests come from
    the root, bytes from the root and the mirrors. To resume an interrupted pull, run it again, or
    glm-aria pull --resume-last.

    \b
    --trust says who must confirm commits and digests
      root    the root only: the pull fails if the root is down
      agree   if the root is down, two independent sites that agree (default)
      any     if the root is down, a single mirror, with a warning
      commit  nobody: they follow from the commit's hash; REF must end with @COMMIT

    \b
    A list (-f) has one REF a line, followed by its options, or is TOML:
      org/name@v1.0  include=*.json  exclude=original/*  local-dir=plain  variant=fp16
      @include other.txt
      # in list.toml: [[model]] ref=, include=[], exclude=[], variant=,
      # local_dir=, priority=; include = ["other.txt"] at its top

    \b
    Examples:
      glm-aria pull zai-org/AutoGLM-Phone-9B
      glm-aria pull org/name --include '*.safetensors' --include '*.json' --max-speed 20M
      glm-aria pull org/name --mirror http://10.0.0.5:8000
      glm-aria pull org/name config.json 'tokenizer*'
      glm-aria pull org/name@COMMIT --trust commit
      glm-aria pull org/name --lock glm-aria.lock
      glm-aria pull --locked glm-aria.lock
      glm-aria pull -f models.txt --json >report.json
      glm-aria pull org/name --lan
      srun glm-aria pull org/name --fleet "$HEAD:8091"
      glm-aria pull https://example.com/model.gguf --sha256 HEX --local-dir .

    Exit codes and the environment: glm-aria --help.
    """
    resumed = _resumed(options)
    options = resumed.options if resumed else options
    if options.dry_run:
        if options.lock and not resumed:
            raise UsageError("--lock records what was pulled, and --dry-run pulls nothing")
        if options.sha256:
            raise _sha256_alone()
        return _plan(options.wanted, options.aria2_input, options.output, items=resumed.items if resumed else None)
    if options.aria2_input:
        raise UsageError("--aria2-input needs --dry-run", hint="glm-aria plan REF --aria2-input FILE")
    return _pull(options, resumed)


@click.command("plan", cls=HeadedCommand)
@takes(PlanOptions)
def plan(options: PlanOptions) -> int:
    """Show what pull would do, without doing it. Same as pull --dry-run; REF as for pull.

    \b
    For each file the plan says
      keep   in the cache, and verified
      check  in the cache, and not yet verified: will be hashed
      link   another repo in the cache has the same bytes
      fetch  will be downloaded

    \b
    Examples:
      glm-aria plan zai-org/AutoGLM-Phone-9B
      glm-aria plan org/name --json
      glm-aria plan org/name --by-folder
      glm-aria plan org/name --aria2-input jobs.txt
    """
    return _plan(options.wanted, options.aria2_input, options.output, by_folder=options.by_folder)


def _resumed(options: PullOptions) -> Resumed[PullOptions] | None:
    if options.resume_last and options.resume is not None:
        raise UsageError("--resume-last and --resume exclude each other")
    if not options.resume_last and options.resume is None:
        return None
    settings = shared.settings(options)
    run = services(settings).runs.resumable(options.resume, settings.cache_dir)
    resumed = resumed_run(options, options.wanted.refs, run)
    if not options.output.quiet and options.output.progress != "json":
        say_resumed(resumed.run)
    return resumed


def _pull(options: PullOptions, resumed: Resumed[PullOptions] | None) -> int:
    settings, began = shared.settings(options), time.monotonic()
    run = Run.watching(options.output, settings)
    if options.sha256 and any(_URL.match(ref) for ref in options.wanted.refs):
        report = _fetch_url(options, options.sha256, settings, run)
    else:
        report = _pull_models(options, settings, run, resumed)
    # Only now: what tells how it ended is not loaded before the root is asked.
    from orchestrator.cli.views.pull import print_pull
    from orchestrator.pulling.document import PullDocument

    outcome = run.outcome(
        failures_of(report.models),
        len(report.models),
        interrupted=report.interrupted,
        strict=options.wanted.strict,
    )

    if settings.notify:
        from orchestrator.notifications.ending import Ending

        ending = Ending.of("pull", report.models, outcome, time.monotonic() - began)
        services(settings).tell_end(ending, run.emit)

    def show(found: PullDocument) -> None:
        print_pull(found, quiet=run.is_quiet, verbose=options.output.verbose)

    code = finish(run, "pull", PullDocument.of(report), show, outcome)
    begun = (model.failure() for model in report.models if model.commit and report.interrupted is None)
    if any(error and error.resumable for error in begun) and not (options.sha256 or run.as_json or run.is_quiet):
        terminal.say("arrived bytes are kept; to go on with what is left: glm-aria pull --resume-last")
    return code


def _pull_models(
    options: PullOptions, settings: Settings, run: Run, resumed: Resumed[PullOptions] | None
) -> PullReport:
    if options.sha256:
        raise _sha256_alone()
    items = resumed.items if resumed else _items(options.wanted, lock=options.lock)
    request = _request(options.wanted, items, settings, make_lock=bool(options.lock))
    if not options.wanted.transfer.locked:
        requests.say_understood(options.wanted.refs, run, has_include=bool(options.wanted.select.include))
    lock_file = lock_files.target(options.lock, [item.ref for item in items]) if options.lock else None
    hook = Hook.of(options.on_change, without_secrets(os.environ, settings), is_quiet=run.is_events)
    with run.watched():
        report = services(settings).pull(request, run.emit, hook=hook, asked=asked_run(options, items, resumed))
    locked = [model.lock for model in report.models if model.lock and model.error is None]
    if lock_file and locked:
        lock_files.update(lock_file, locked)
    return report


def _fetch_url(options: PullOptions, sha256: str, settings: Settings, run: Run) -> PullReport:
    wanted = options.wanted
    if len(wanted.refs) != 1 or wanted.lists:
        raise UsageError("--sha256 takes one address and no other REF", hint="pull the others separately")
    for flag, value in (
        ("--revision", wanted.select.revision),
        ("--include", wanted.select.include),
        ("--exclude", wanted.select.exclude),
        ("--variant", wanted.select.variant),
        ("--lock", options.lock),
        ("--locked", wanted.transfer.locked),
        ("--verify-signature", wanted.transfer.verify_signature),
        ("--on-change", options.on_change),
        ("--lan", options.peers.lan),
        ("--peer", options.peers.peer),
        ("--fleet", options.peers.fleet),
    ):
        if value:
            raise UsageError(f"{flag} is for repos, not for a single file")
    digest = sha256_digest(sha256)
    if settings.offline:
        raise UsageError("--offline and a web address exclude each other")
    url = wanted.refs[0]
    warn_of_plain_http(url, run)
    folder = places.absolute(wanted.local_dir or ".")
    with run.watched():
        return services(settings).fetch_url(url, digest, folder, run.emit, force=wanted.force)


def _sha256_alone() -> UsageError:
    return UsageError("--sha256 needs the https:// address of a single file, and works only with pull")


def _plan(
    wanted: WantedOptions,
    aria2_input: str | None,
    shown: Output,
    *,
    by_folder: bool = False,
    items: Sequence[Item] | None = None,
) -> int:
    settings = shared.settings(wanted)
    run = Run.watching(shown, settings)
    request = _request(wanted, _items(wanted) if items is None else items, settings)
    if not wanted.transfer.locked:
        requests.say_understood(wanted.refs, run, has_include=bool(wanted.select.include))
    with run.watched():
        made, failed = services(settings).plan(request, run.emit)
    if aria2_input:
        services(settings).write_aria2_input(made, places.absolute(aria2_input))
    from orchestrator.cli.views.plan import print_plan
    from orchestrator.pulling.document import DiskRoom, PlanDocument

    outcome = run.outcome(failures_of(failed), len(request.items), strict=wanted.strict)
    report = PlanDocument.of(made, failed, DiskRoom.for_bytes(made.bytes_to_fetch, settings.cache_dir))
    return finish(run, "plan", report, partial(print_plan, by_folder=by_folder), outcome)


def _request(
    wanted: WantedOptions, items: Sequence[Item], settings: Settings, *, make_lock: bool = False
) -> PullRequest:
    return PullRequest(
        tuple(items),
        force=wanted.force,
        offline=settings.offline,
        safe_only=wanted.transfer.safe_only,
        signatory=wanted.transfer.signatory,
        policy=settings.policy,
        allow_rollback=wanted.transfer.allow_rollback,
        lock_name=wanted.transfer.locked or "",
        make_lock=make_lock,
        portable=settings.portable,
    )


def _items(wanted: WantedOptions, *, lock: str | None = None) -> tuple[Item, ...]:
    select = wanted.select
    if locked := wanted.transfer.locked:
        for flag, value in (
            ("-f", wanted.lists),
            ("--revision", select.revision),
            ("--include", select.include),
            ("--exclude", select.exclude),
            ("--variant", select.variant),
            ("--trust", wanted.transfer.trust),
            ("--allow-rollback", wanted.transfer.allow_rollback),
            ("--lock", lock),
        ):
            if value:
                raise UsageError(f"--locked fetches the bytes that the lock file pins, and {flag} says otherwise")
        return requests.locked_items(wanted.refs, locked, wanted.local_dir)
    chosen = requests.Selection.of(select, wanted.local_dir, allow_outside=wanted.allow_outside)
    return requests.items(wanted.refs, wanted.lists, chosen)
