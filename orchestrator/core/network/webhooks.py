"""Targets of a notice: the desktop, or a webhook, in the form that its site takes.

desktop
https://example.com/any/path                      a JSON document
https://hooks.slack.com/services/…                the form of a chat, by the host
mattermost:https://chat.example.com/hooks/…       the form of a chat, by its name
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

DESKTOP = "desktop"


class WebhookKind(StrEnum):
    """The form of what a webhook is sent. Mattermost, Rocket.Chat and others take that of Slack."""

    JSON = "json"
    SLACK = "slack"
    MATTERMOST = "mattermost"
    FEISHU = "feishu"
    DINGTALK = "dingtalk"
    WECOM = "wecom"


_HOSTS = {
    "hooks.slack.com": WebhookKind.SLACK,
    "open.feishu.cn": WebhookKind.FEISHU,
    "open.larksuite.com": WebhookKind.FEISHU,
    "oapi.dingtalk.com": WebhookKind.DINGTALK,
    "qyapi.weixin.qq.com": WebhookKind.WECOM,
}


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook. Its address may hold a secret anywhere but in the host, by which alone it is called."""

    kind: WebhookKind
    url: str = field(repr=False)

    @property
    def host(self) -> str:
        """The host, as it may be shown."""
        return urlsplit(self.url).hostname or ""

    def holds(self, text: str) -> bool:
        """True when a text has a part of the address that may be a secret."""
        parts = urlsplit(self.url)
        words = [*parts.path.split("/"), *(pair.partition("=")[2] for pair in parts.query.split("&"))]
        return any(len(word) >= 8 and word in text for word in words)


def parse_target(text: str) -> Webhook | None:
    """The webhook that a text names; None for the desktop. Raises ValueError, which quotes nothing of the text."""
    if text == DESKTOP:
        return None
    name, colon, url = text.partition(":")
    kind = next((kind for kind in WebhookKind if colon and kind == name.lower()), None)
    address = url if kind else text
    try:
        parts = urlsplit(address)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if (
        not is_good
        or parts.username is not None
        or not address.isprintable()
        or " " in address
        or not address.isascii()
    ):
        known = ", ".join(f"{kind}:" for kind in WebhookKind)
        raise ValueError(f"must be desktop, or an http(s):// address of a webhook, with or without one of {known}")
    return Webhook(kind or _HOSTS.get(parts.hostname or "", WebhookKind.JSON), address)
