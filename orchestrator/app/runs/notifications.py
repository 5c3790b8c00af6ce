"""Notices of the end of a pull, as the settings say."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from orchestrator.app.compose import known_state, open_lookup, proxies_of
from orchestrator.core.network.webhooks import Webhook, parse_target
from orchestrator.events import Emit, Notice
from orchestrator.net.answers import Limits
from orchestrator.net.session import Net
from orchestrator.notifications import desktop, webhook
from orchestrator.notifications.ending import Ending
from orchestrator.pulling.report import PullReport, failures_of
from orchestrator.settings import Settings
from orchestrator.settings.secrets import without_secrets

_LIMITS = Limits(connect=4, read=4, deadline=8, attempts=1, body=64 * 1024)


def tell(settings: Settings, ending: Ending, emit: Emit) -> None:
    """Tell all whom `notify` names. What is not taken is a warning."""
    for target in map(parse_target, settings.notify):
        if target is None:
            failure, where = desktop.show(ending, without_secrets(os.environ, settings)), "on the desktop"
        else:
            failure, where = _post(settings, ending, target), f"to {target.host}"
        if failure is not None:
            emit(Notice("notice-failed", f"no notice of the end {where}: {failure}"))


def _post(settings: Settings, ending: Ending, target: Webhook) -> str | None:
    with (
        open_lookup(settings, known_state(settings), keep=False) as lookup,
        # No token: what a webhook needs is in its address.
        Net(limits=_LIMITS, proxies=proxies_of(settings), ca_bundle=settings.ca_bundle, lookup=lookup) as net,
    ):
        return webhook.post(ending, target, net)


@dataclass(slots=True)
class RoundTeller:
    """A sender of notices about the rounds of a watch in which something came, or failed in another way than before."""

    settings: Settings
    emit: Emit
    _failures: dict[str, str] = field(default_factory=dict)

    def told(self, report: PullReport, began: float) -> PullReport:
        """The report, once those who want to know of it were told. `began` is monotonic seconds."""
        if self.settings.notify and report.interrupted is None and self._is_news(report):
            from orchestrator.documents import Outcome

            outcome = Outcome.of(failures_of(report.models), len(report.models))
            tell(self.settings, Ending.of("watch", report.models, outcome, time.monotonic() - began), self.emit)
        return report

    def _is_news(self, report: PullReport) -> bool:
        is_news = False
        for model in report.models:
            error = model.failure()
            code = error.code if error else ""
            is_news |= code != self._failures.get(model.ref, "") or any(item.sources for item in model.files)
            self._failures[model.ref] = code
        return is_news
