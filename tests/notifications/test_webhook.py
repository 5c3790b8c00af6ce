"""Webhooks get the end of a pull in the form of their site, and what they do not take is told without their address."""

from __future__ import annotations

import json
import re

import pytest

from orchestrator.core.network.webhooks import Webhook, WebhookKind, parse_target
from orchestrator.documents import Outcome
from orchestrator.errors import IntegrityError
from orchestrator.net.answers import Limits
from orchestrator.net.session import Net
from orchestrator.notifications.ending import Ending
from orchestrator.notifications.webhook import body_of, post
from tests.cli.builders import done, failed
from tests.notifications.conftest import Hooks

SECRET = "T0000secret"
ERROR = IntegrityError("bad <bytes> & more")
ENDING = Ending.of("pull", [done(ref="org/name@main"), failed(ERROR)], Outcome.of([ERROR], 2), 2.0)


def test_the_text_says_what_was_done_and_what_failed() -> None:
    first, second = ENDING.text.splitlines()
    assert "partial, 1 of 2 models done, 5.00 MB fetched in 2.0 s" in first
    assert second == "error: bad <bytes> & more"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://example.com/hook?x=1", WebhookKind.JSON),
        ("https://hooks.slack.com/services/T/B/x", WebhookKind.SLACK),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/x", WebhookKind.FEISHU),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/x", WebhookKind.FEISHU),
        ("https://oapi.dingtalk.com/robot/send?access_token=x", WebhookKind.DINGTALK),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=x", WebhookKind.WECOM),
        ("mattermost:http://chat.example.com/hooks/x", WebhookKind.MATTERMOST),
        ("json:https://hooks.slack.com/services/T/B/x", WebhookKind.JSON),
    ],
)
def test_the_host_or_a_name_tells_the_form(url: str, kind: WebhookKind) -> None:
    found = parse_target(url)
    assert found is not None
    assert (found.kind, found.url) == (kind, url[url.index("http") :])
    assert "x" not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ftp://h/secret",
        "https://",
        "https://u:secret@h/",
        "http://h/a secret",
        "file:///secret",
        "irc:http://h/",
    ],
)
def test_what_is_no_webhook_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="webhook") as refused:
        parse_target(text)
    assert "secret" not in str(refused.value)
    assert parse_target("desktop") is None


def test_each_form() -> None:
    text, plain = ENDING.text, ENDING.text.replace("<", "<\u200b")
    bodies = {kind: json.loads(body_of(ENDING, kind)) for kind in WebhookKind}
    assert bodies[WebhookKind.SLACK] == {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    assert bodies[WebhookKind.MATTERMOST] == {"text": plain}
    assert bodies[WebhookKind.FEISHU] == {"msg_type": "text", "content": {"text": plain}}
    assert bodies[WebhookKind.DINGTALK] == bodies[WebhookKind.WECOM] == {"msgtype": "text", "text": {"content": plain}}
    document = bodies[WebhookKind.JSON]
    assert (document["event"], document["status"], document["exit_code"]) == ("end", "partial", 3)
    assert [(model["ref"], model["done"], model["error"]) for model in document["models"]] == [
        ("org/name@main", True, None),
        ("org/broken@main", False, "integrity"),
    ]
    assert (document["bytes_fetched"], document["seconds"]) == (5_000_000, 2.0)
    assert [error["code"] for error in document["errors"]] == ["integrity"]


@pytest.mark.parametrize("kind", sorted(set(WebhookKind) - {WebhookKind.JSON}))
def test_a_name_of_a_file_calls_nobody(kind: WebhookKind) -> None:
    name = '@channel <at user_id="all"></at> <!here> <@all> [x](https://example.com)'
    error = IntegrityError(f"{name}: bad")
    body = body_of(Ending.of("pull", [failed(error)], Outcome.of([error], 1), 2.0), kind)
    said = json.loads(body)
    text = str(said.get("text", said.get("content")))
    assert not re.search(r"<[a!@]", text)
    assert kind is WebhookKind.SLACK or not re.search(r"@[a-z]|\]\(", text)


@pytest.mark.parametrize(
    ("kind", "status", "body", "said"),
    [
        ("json", 204, "", None),
        ("slack", 200, "ok", None),
        ("json", 404, SECRET, "it answered HTTP 404"),
        ("json", 302, "", "it answered HTTP 302"),
        ("json", 503, SECRET, "it does not answer as it should"),
        ("feishu", 200, '{"code": 0}', None),
        ("feishu", 200, '{"code": 19024, "msg": "Key Words Not Found"}', "code 19024: Key Words Not Found"),
        ("dingtalk", 200, '{"errcode": 310000, "errmsg": "keywords"}', "it refused with code 310000: keywords"),
        ("wecom", 200, '{"errcode": 93000, "errmsg": "bad key T0000secret"}', "it refused with code 93000"),
        ("wecom", 200, "<html>", "it did not answer with JSON"),
        ("wecom", 200, "[1]", "it does not answer as it should"),
    ],
)  # fmt: skip
def test_what_a_webhook_makes_of_it(hooks: Hooks, kind: str, status: int, body: str, said: str | None) -> None:
    hooks.answers[f"/{SECRET}?a=b"] = (status, body.encode())
    target = parse_target(f"{kind}:{hooks.url}/{SECRET}?a=b")
    assert target is not None
    with Net(limits=Limits(attempts=1)) as net:
        found = post(ENDING, target, net)
    assert (found is None) if said is None else (found is not None and found.endswith(said))
    ((_, headers, sent),) = hooks.seen
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers
    assert sent == json.loads(body_of(ENDING, WebhookKind(kind)))


def test_a_webhook_that_is_not_there() -> None:
    with Net(limits=Limits(attempts=1)) as net:
        assert post(ENDING, Webhook(WebhookKind.JSON, f"http://127.0.0.1:9/{SECRET}"), net) == "it cannot be reached"
