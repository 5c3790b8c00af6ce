"""`pull` and `plan` for programs: what the commands do, as calls with types."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from orchestrator.api.raising import raising
from orchestrator.api.running import in_order
from orchestrator.api.showing import Progress, showing
from orchestrator.app.services import Services
from orchestrator.cli.requests import Selection, items
from orchestrator.core.plan import Plan
from orchestrator.errors import NotAllowedError, TokenAbsentError, UsageError
from orchestrator.lists.request import Item, PullRequest
from orchestrator.pulling.report import PullReport, failures_of
from orchestrator.settings import Settings, load
from orchestrator.system.signals import Stop


class SettingOptions(TypedDict, total=False):
    """Settings of a call, by their names and in the forms of `glm-aria config show`; the others are as for the command.

    `token`: a token, False for none, True for the user's, which then must be there.
    """

    cache_dir: str | os.PathLike[str]
    root: str
    policy: str
    mirrors: Sequence[str]
    token: str | bool | None
    offline: bool
    max_speed: int | str
    polite: bool
    jobs: int
    connections_per_mirror: int
    proxy: str
    portable: bool


class SelectOptions(TypedDict, total=False):
    """The choice of files of a call, as the options of `pull` of the same names make it."""

    revision: str | None
    include: Sequence[str]
    exclude: Sequence[str]
    local_dir: str | os.PathLike[str] | None
    variant: str
    force: bool
    safe_only: bool
    allow_rollback: bool


class CallOptions(SelectOptions, SettingOptions, total=False):
    """All words of a call."""


def pull(
    *refs: str, check: bool = True, progress: Progress = None, stop: Stop | None = None, **asked: Unpack[CallOptions]
) -> PullReport:
    """Fetch models, prove every file, and place them in the Hugging Face cache; as `glm-aria pull REF…`.

    `check` raises the error of the first model that failed, once the others are done; without it errors are in the
    report. `progress` is `api.showing.Progress`; setting `stop` from another thread ends the run in good order, and the
    next one goes on there. Takes no signals.
    """
    stop = stop or Stop()
    with raising():
        settings, request = _request(refs, asked)
        report = pull_for(request, settings, progress, stop)
        if check:
            for error in failures_of(report.models):
                raise error
        return report


def plan(*refs: str, progress: Progress = None, stop: Stop | None = None, **asked: Unpack[CallOptions]) -> Plan:
    """Say what `pull` would do, as `glm-aria plan REF…`; writes nothing. Raises the error of a model."""
    stop = stop or Stop()
    with raising():
        settings, request = _request(refs, asked)
        return plan_for(request, settings, progress, stop)


def pull_for(
    request: PullRequest, settings: Settings, progress: Progress, stop: Stop, tqdm_class: Any = None
) -> PullReport:
    """Pull in good order, shown as `progress` says. Errors of models are in the report."""
    with showing(progress, settings, stop, tqdm_class) as emit:
        report = in_order(lambda: Services(settings).pull(request, emit, given=stop), stop)
    for error in failures_of(report.models):
        _explain(error, settings)
    return report


def plan_for(request: PullRequest, settings: Settings, progress: Progress, stop: Stop) -> Plan:
    """Plan in good order. Raises the error of the first model that is refused."""
    with showing(progress, settings, stop) as emit:
        made, failed = in_order(lambda: Services(settings).plan(request, emit, given=stop), stop)
    for error in failures_of(failed):
        _explain(error, settings)
        raise error
    return made


def settings_for(said: SettingOptions) -> Settings:
    """The settings of a call. Raises UsageError, ConfigError; TokenAbsentError where a token must be there."""
    token = said.get("token")
    flags: dict[str, object] = {name: _plain(value) for name, value in said.items() if name != "token"}
    settings = load(
        {**flags, "token": token if isinstance(token, str) else None}, spelled={name: name for name in said}
    )
    if token is False:
        return replace(settings, token=None, token_withheld=None)
    if token is True and settings.token is None:
        raise TokenAbsentError("a token is asked for, and there is none", hint="log in: hf auth login")
    return settings


def _plain(value: object) -> object:
    """A value as a flag has it."""
    if isinstance(value, os.PathLike):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value


def _request(refs: Sequence[str], asked: CallOptions) -> tuple[Settings, PullRequest]:
    known = {
        name: value for name, value in asked.items() if name in SettingOptions.__annotations__ and value is not None
    }
    odd = [name for name in asked if name not in CallOptions.__annotations__]
    if odd:
        raise UsageError(
            f"there is no option {odd[0]!r}", hint="one of: " + ", ".join(sorted(CallOptions.__annotations__))
        )
    settings = settings_for(known)  # type: ignore[arg-type]
    folder = asked.get("local_dir")
    chosen = Selection(
        asked.get("revision"),
        tuple(asked.get("include", ())),
        tuple(asked.get("exclude", ())),
        None if folder is None else os.fspath(folder),
        variant=asked.get("variant", ""),
    )
    request = request_for(items(refs, (), chosen), settings, force=asked.get("force", False))
    return settings, replace(
        request, safe_only=asked.get("safe_only", False), allow_rollback=asked.get("allow_rollback", False)
    )


def request_for(wanted: tuple[Item, ...], settings: Settings, *, force: bool) -> PullRequest:
    """The request of a call, as its settings say."""
    return PullRequest(
        wanted, force=force, offline=settings.offline, policy=settings.policy, portable=settings.portable
    )


def _explain(error: Exception, settings: Settings) -> None:
    """Say why a token was not sent, where one is missing."""
    if isinstance(error, NotAllowedError) and settings.token_withheld:
        error.hint = settings.token_withheld
