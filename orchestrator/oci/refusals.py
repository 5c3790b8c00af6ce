"""Refusals of a registry: from a status and the error codes of the specification to an error with a hint."""

from __future__ import annotations

import json
from contextlib import suppress

from orchestrator.errors import GlmAriaError, IntegrityError, NotAllowedError, NotFoundError, ProtocolError
from orchestrator.net.answers import Answer
from orchestrator.oci.login import command

_LACKS_RIGHT = 'error="insufficient_scope"'
_AGAIN = "send them again"


def refusal(answer: Answer, host: str, name: str, what: str, *, had_login: bool = False) -> GlmAriaError:
    """The error for an answer of the registry `host` that refuses `what` of the repository `name`, to a user who
    `had_login` there or had none."""
    code, said = _said(answer)
    if answer.status == 401 and had_login and _LACKS_RIGHT in answer.headers.get("WWW-Authenticate", ""):
        return NotAllowedError(
            f"{host} denies access to {name}: your login lacks the right to do that",
            hint=f"where a server of models guards the registry, its models are reg://{name}, with that server's token",
            source=host,
        )
    if answer.status == 401 or code == "UNAUTHORIZED":
        return NotAllowedError(
            f"{host} does not let you read {name}" if not said else f"{host} refuses {name}: {said}",
            hint=command(host),
            source=host,
        )
    if answer.status == 403 or code == "DENIED":
        return NotAllowedError(
            f"{host} denies access to {name}{f': {said}' if said else ''}",
            hint="your login lacks the right to do that",
            source=host,
        )
    if code == "NAME_UNKNOWN" or (answer.status == 404 and not code):
        return NotFoundError(
            f"{host} has no repository {name!r} with {what!r}", hint="check the spelling of it", source=host
        )
    if answer.status == 404:
        return NotFoundError(f"{name} has no {what!r} at {host}", source=host)
    if code == "DIGEST_INVALID":
        return IntegrityError(f"{host} says that what it got are not the bytes of {what}", hint=_AGAIN, source=host)
    words = f"{answer.place} answered HTTP {answer.status}{f' ({said})' if said else ''}"
    if answer.status == 400 and answer.url.startswith("http:") and b"HTTPS" in answer.body:
        return ProtocolError(words, hint=f"the registry speaks https: oci+https://{host}/{name}", source=host)
    return ProtocolError(words, hint="the log of the registry may say why", source=host)


def _said(answer: Answer) -> tuple[str, str]:
    """The code and the message of the first error in an answer of a registry."""
    with suppress(ValueError, RecursionError, LookupError, TypeError, AttributeError):
        first = json.loads(answer.body)["errors"][0]
        return str(first.get("code", "")), str(first.get("message", ""))[:200]
    return "", ""
