"""A notice to a webhook: one POST of JSON, which is not sent again."""

from __future__ import annotations

import json
import re

from orchestrator.core.network.webhooks import Webhook, WebhookKind
from orchestrator.core.text import redacted
from orchestrator.documents import encode
from orchestrator.errors import GlmAriaError, SourcesDownError, TrustError
from orchestrator.net.answers import Answer
from orchestrator.net.session import Net
from orchestrator.notifications.ending import Ending

_MOST_SAID = 200
_MARKS = re.compile(r"[@<]|\](?=\()")
"""The beginnings of mentions, tags and links; behind them a blank of no width goes in."""


def post(ending: Ending, webhook: Webhook, net: Net) -> str | None:
    """Tell a webhook; None when it took it, else what became of it, without anything of the address.

    `net` should have no token.
    """
    try:
        answer = net.exchange(
            "POST",
            webhook.url,
            headers={"Content-Type": "application/json"},
            body=body_of(ending, webhook.kind).encode(),
            attempts=1,
        )
    except GlmAriaError as error:
        # Its words hold the address.
        if isinstance(error, SourcesDownError):
            return "it cannot be reached"
        return "its certificate is not trusted" if isinstance(error, TrustError) else "it does not answer as it should"
    return _refusal(answer, webhook)


def body_of(ending: Ending, kind: WebhookKind) -> str:
    """The body that a webhook of this kind takes."""
    match kind:
        case WebhookKind.JSON:
            return encode(ending)
        case WebhookKind.SLACK | WebhookKind.MATTERMOST:
            return json.dumps({"text": _escaped(ending.text) if kind is WebhookKind.SLACK else _plain(ending.text)})
        case WebhookKind.FEISHU:
            return json.dumps({"msg_type": "text", "content": {"text": _plain(ending.text)}})
        case WebhookKind.DINGTALK | WebhookKind.WECOM:
            return json.dumps({"msgtype": "text", "text": {"content": _plain(ending.text)}})


def _escaped(text: str) -> str:
    """A text that Slack takes for no link and no mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str) -> str:
    """A text in which no chat finds a mention, a tag or a link: who names a file of a repo must not call people."""
    return _MARKS.sub("\\g<0>\u200b", text)


def _refusal(answer: Answer, webhook: Webhook) -> str | None:
    """The chats of China answer 200 to what they refuse, and say so in the body."""
    if not 200 <= answer.status < 300:
        return f"it answered HTTP {answer.status}"
    if webhook.kind not in (WebhookKind.FEISHU, WebhookKind.DINGTALK, WebhookKind.WECOM):
        return None
    try:
        said = answer.json
    except GlmAriaError:
        return "it did not answer with JSON"
    if not isinstance(said, dict):
        return "it does not answer as it should"
    code = said.get("errcode", said.get("code", 0))
    if code == 0:
        return None
    words = redacted(str(said.get("errmsg", said.get("msg", "")))[:_MOST_SAID])
    return f"it refused with code {redacted(str(code))[:20]}" + (
        f": {words}" if words and not webhook.holds(words) else ""
    )
