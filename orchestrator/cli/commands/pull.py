"""`glm-aria pull` and `glm-aria plan`: options to one call of the wiring, its report to the output."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import click

from orchestrator.cli import options, requests, terminal
from orchestrator.cli.commands import lock
from orchestrator.cli.groups import HeadedCommand
from orchestrator.cli.run import Run
from orchestrator.cli.views import results
from orchestrator.core.files import Algorithm, Digest
from orchestrator.disk import places
from orchestrator.errors import UsageError
from orchestrator.events import Notice
from orchestrator.lists.request import Item, PullRequest
from orchestrator.lists.wanted import group
from orchestrator.pull.report import PullReport
from orchestrator.settings import Settings
from orchestrator.watch.on_change import Hook

_NOT_WITH_LOCKED = ("lists", "revision", "include", "exclude", "trust", "allow_rollback", "lock")
_URL = re.compile(r"https?://", re.IGNORECASE)


@click.command("pull", cls=HeadedCommand)
@click.argument("refs", metavar="REF...", nargs=-1)
@options.pull_options
def pull(dry_run: bool, **parameters: Any) -> int:
    """Fetch models, verify every file, and place them in the Hugging Face cache.

    \b
    REF is one of
      [hf://]org/name[@revision]        a model; ms:// is ModelScope
      datasets/org/name, spaces/org/name
      https://host/file                 a single file, with --sha256
      REF FILE...                       only these files of it, as hf download has it

    A word behind a REF is a file of it, unless it can only be another REF: org/other, hf://name, name@revision.

    At the end the folder of each model is printed on stdout; everything else goes to stderr. Commits and digests come
    from the root, bytes from the root and the mirrors. A stopped pull goes on when it is run again.

    \b
    --trust says whose word counts for commits and digests
      root    the root's, or nobody's: the pull fails without the root
      agree   without the root, two independent sites that say the same (default)
      any     without the root, one mirror's, with a warning
      commit  anybody's, proven from the commit itself; REF must end with @COMMIT

    \b
    A list (-f) has a REF on each line, with options after it, or is TOML:
      org/name@v1.0  include=*.json  exclude=original/*  local-dir=plain
      @include other.txt
      # in list.toml: [[model]] ref=, include=[], exclude=[], local_dir=, priority=
      # include = ["other.txt"] at its top

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
      glm-aria pull https://example.com/model.gguf --sha256 HEX --local-dir .

    Exit codes and the environment: glm-aria --help.
    """
    if dry_run:
        if parameters["lock"]:
            raise UsageError("--lock writes down what was pulled, and --dry-run pulls nothing")
        return _plan(parameters)
    if parameters["aria2_input"]:
        raise UsageError("--aria2-input goes with --dry-run", hint="glm-aria plan REF --aria2-input FILE")
    return _pull(parameters)


@click.command("plan", cls=HeadedCommand)
@click.argument("refs", metavar="REF...", nargs=-1)
@options.plan_options
def plan(**parameters: Any) -> int:
    """Show what pull would do, and do nothing. The same as pull --dry-run; REF as for pull.

    \b
    For each file the plan says
      keep   it is in the cache and was verified
      check  it is there, and will be hashed before it is believed
      link   another repo of the cache has the same bytes
      fetch  it will be downloaded

    \b
    Examples:
      glm-aria plan zai-org/AutoGLM-Phone-9B
      glm-aria plan org/name --json
      glm-aria plan org/name --aria2-input jobs.txt
    """
    return _plan(parameters)


def _pull(parameters: dict[str, Any]) -> int:
    settings = options.settings(parameters)
    run = Run.of(parameters, settings)
    is_url = any(_URL.match(ref) for ref in parameters["refs"]) and parameters["sha256"]
    if is_url:
        report = _fetch_url(parameters, run)
    else:
        wanted = _request(parameters, settings)
        _say_understood(parameters, run)
        refs = [item.ref for item in wanted.items]
        lock_file = lock.target(parameters["lock"], refs) if parameters["lock"] else None
        hook = Hook.of(parameters["on_change"], settings, is_quiet=run.is_events)
        from orchestrator.app import services

        with run.watched():
            report = services.run_pull(settings, wanted, run.emit, hook=hook)
        locked = [model.lock for model in report.models if model.lock and model.error is None]
        if lock_file and locked:
            lock.update(lock_file, locked)
    notices = run.all_notices(report.notices)
    errors = run.explained(results.errors_of(report.models))
    verdict = results.judge(
        errors, len(report.models), notices, interrupted=report.interrupted, strict=parameters["strict"]
    )
    run.say_missed(notices)
    if parameters["as_json"]:
        terminal.document(results.pull_document(report, verdict, notices))
    else:
        results.print_pull(report, verdict, quiet=run.is_quiet, verbose=parameters["verbose"])
    return verdict.exit_code


def _fetch_url(parameters: dict[str, Any], run: Run) -> PullReport:
    refs = parameters["refs"]
    if len(refs) != 1 or parameters["lists"]:
        raise UsageError("--sha256 is for one address, alone", hint="run the others by themselves")
    for name in ("revision", "include", "exclude", "lock", "locked", "on_change"):
        if parameters[name]:
            raise UsageError(f"--{name.replace('_', '-')} is for repos, not for a single file")
    digest = _sha256(parameters["sha256"])
    if run.settings.offline:
        raise UsageError("--offline and a web address exclude each other")
    _warn_of_plain_http(refs[0], run)
    folder = places.absolute(parameters["local_dir"] or ".")
    from orchestrator.app import services

    with run.watched():
        return services.fetch_url(run.settings, refs[0], digest, folder, run.emit, force=parameters["force"])


def _warn_of_plain_http(url: str, run: Run) -> None:
    from orchestrator.net.addresses import is_loopback

    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        run.emit(Notice("plain-http", f"{parts.hostname} is asked over plain http; the digest proves the bytes anyway"))


def _sha256(text: str) -> Digest:
    folded = text.strip().lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", folded):
        raise UsageError("--sha256 takes 64 hexadecimal digits")
    return Digest(Algorithm.SHA256, folded)


def _plan(parameters: dict[str, Any]) -> int:
    settings = options.settings(parameters)
    run = Run.of(parameters, settings)
    wanted = _request(parameters, settings)
    _say_understood(parameters, run)
    from orchestrator.app import services
    from orchestrator.cli.views import plan

    with run.watched():
        made, failed = services.run_plan(settings, wanted, run.emit)
    if parameters["aria2_input"]:
        services.write_aria2_input(settings, made, places.absolute(parameters["aria2_input"]))
    notices = run.all_notices(())
    errors = run.explained(results.errors_of(failed))
    verdict = results.judge(errors, len(wanted.items), notices, strict=parameters["strict"])
    disk = plan.disk_of(settings.cache_dir)
    run.say_missed(notices)
    if parameters["as_json"]:
        terminal.document(plan.document(made, failed, verdict, notices, disk))
    else:
        plan.print_plan(made, verdict, disk)
    return verdict.exit_code


def _say_understood(parameters: dict[str, Any], run: Run) -> None:
    """Say which words were taken for models and which for files of them."""
    found = () if parameters["locked"] else group(parameters["refs"])
    if not run.is_quiet and any(wanted.files for wanted in found):
        for wanted in found:
            files = f", only {', '.join(map(repr, wanted.files))}" if wanted.files else ""
            files += " and what --include takes" if files and parameters["include"] else ""
            terminal.say(terminal.message(f"model {wanted.ref}{files}"))
    for wanted in found:
        for word in wanted.unsure:
            message = f"{word!r} was taken for a file of {wanted.ref}; as a model it is written hf://{word}"
            run.emit(Notice("file-or-model", message, file=word))


def _request(parameters: dict[str, Any], settings: Settings) -> PullRequest:
    if parameters.get("sha256"):
        raise UsageError("--sha256 goes with the https:// address of a single file, and only with pull")
    return PullRequest(
        _items(parameters),
        force=parameters["force"],
        offline=settings.offline,
        safe_only=parameters["safe_only"],
        policy=settings.policy,
        allow_rollback=parameters["allow_rollback"],
        lock_name=parameters["locked"] or "",
        make_lock=bool(parameters.get("lock")),
        portable=settings.portable,
    )


def _items(parameters: dict[str, Any]) -> tuple[Item, ...]:
    if parameters["locked"]:
        for name in _NOT_WITH_LOCKED:
            if parameters.get(name):
                flag = "-f" if name == "lists" else f"--{name.replace('_', '-')}"
                raise UsageError(f"--locked fetches what the lock file says, and {flag} says otherwise")
        return requests.locked_items(parameters["refs"], parameters["locked"], parameters["local_dir"])
    chosen = requests.Selection(
        parameters["revision"],
        parameters["include"],
        parameters["exclude"],
        parameters["local_dir"],
        parameters["allow_outside"],
    )
    items = requests.items(parameters["refs"], parameters["lists"], chosen)
    refs = [item.ref for item in items]
    if parameters.get("lock") and len(set(refs)) < len(refs):
        raise UsageError("a lock file holds each model once, and one of these is named twice")
    return items
