"""`glm-aria token`: who may use a server of ours."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Literal

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import argument, option, takes
from orchestrator.cli.values import parsed
from orchestrator.cli.views.table import NOTHING, show, yes_or_no
from orchestrator.core.sizes import parse_duration
from orchestrator.errors import NotFoundError, UsageError
from orchestrator.rights import EVERYWHERE, Role
from orchestrator.serve.access.document import NewTokenDocument, TokenEntry, TokensDocument
from orchestrator.serve.access.tokens import TokenFile, TokenGrant


@click.group()
def token() -> None:
    """Make, list and revoke the tokens of `serve`.

    A token gives its owner a role, in all namespaces or in those that you name. Clients send it as they send a token of
    the Hub's: HF_TOKEN=gla_… with hf and transformers, `Authorization: Bearer gla_…` with curl. A server that runs
    obeys at once. The tokens belong to one cache; only their hashes are kept.

    \b
    Roles: reader     gets what is in the cache
           puller     has the server fetch what is not
           publisher  a puller that may publish, for CI
           promoter   a puller that may move aliases
           admin      all of it, and commands the server

    \b
    Examples:
      glm-aria token create laptop
      glm-aria token create ci --role reader --namespace 'team-*' --expires 30d
      glm-aria token ls
      glm-aria token revoke laptop
    """


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """The cache whose tokens are meant."""

    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    config: Annotated[str | None, CONFIG]
    as_json: Annotated[bool, shared.JSON]


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """The options of `token create`."""

    name: Annotated[str, argument("NAME")]
    roles: Annotated[
        tuple[Literal["reader", "puller", "publisher", "promoter", "admin"], ...],
        option("--role", help="What its owner may do, one of them; a puller, if not given."),
    ]
    namespaces: Annotated[
        tuple[str, ...],
        option("--namespace", metavar="GLOB",
               help="Only repos of these owners ('team-*'), or of these names ('team/model-*'); may be given again."),
    ]  # fmt: skip
    restricted: Annotated[
        bool, option("--restricted", help="Also gated and private repos, if the server serves them (serve --gated).")
    ]
    expires: Annotated[str | None, option("--expires", metavar="TIME", help="Valid for so long: 30d, 12h, 2w.")]
    place: TokenPlace


@token.command()
@takes(CreateOptions)
def create(options: CreateOptions) -> int:
    """Make a token, and print it: this once, and never again."""
    seconds = parsed("--expires", parse_duration, options.expires)
    if len(options.roles) > 1:
        raise UsageError(
            f"a token has one role, and not {' and '.join(options.roles)}",
            hint="make a token for each; who publishes may move the aliases dev and dev-… as well",
        )
    (role,) = options.roles or (Role.PULLER,)
    now = int(time.time())

    def grant_of(token_hash: str) -> TokenGrant:
        return TokenGrant(
            options.name,
            Role(role),
            options.namespaces or EVERYWHERE,
            options.restricted,
            now,
            None if seconds is None else now + int(seconds),
            token_hash,
        )

    text, grant = _file(options.place).create(grant_of)
    document = NewTokenDocument(text, TokenEntry.of(grant))
    return finish(Run(options.place.as_json), "token create", document, lambda made: terminal.result(made.token))


@token.command("ls")
@takes(TokenPlace)
def list_tokens(options: TokenPlace) -> int:
    """List the tokens by name, with what they allow."""
    file = _file(options, create=False)
    return finish(Run(options.as_json), "token ls", TokensDocument.of(file.grants(), file.last_used()), _print)


@dataclass(frozen=True, slots=True)
class RevokeOptions:
    """The options of `token revoke`."""

    name: Annotated[str, argument("NAME")]
    place: TokenPlace


@token.command()
@takes(RevokeOptions)
def revoke(options: RevokeOptions) -> int:
    """Remove a token: from now on nobody gets in with it."""
    file = _file(options.place)
    if file.revoke(options.name) is None:
        raise NotFoundError(f"there is no token {options.name!r}", hint="see them with: glm-aria token ls")
    left = TokensDocument.of(file.grants(), file.last_used())
    return finish(
        Run(options.place.as_json), "token revoke", left, lambda _: terminal.say(f"{options.name} is revoked")
    )


def _file(place: TokenPlace, *, create: bool = True) -> TokenFile:
    return services(shared.settings(place)).tokens(create=create)


def _print(found: TokensDocument) -> None:
    if not found.tokens:
        terminal.say("there are no tokens; make one with: glm-aria token create NAME")
        return
    now = time.time()
    show(
        ("NAME", "ROLE", "NAMESPACES", "RESTRICTED", "CREATED", "EXPIRES", "LAST USED"),
        [
            (
                entry.name,
                entry.role.value,
                " ".join(entry.namespaces),
                yes_or_no(entry.restricted),
                _day(entry.created),
                "expired" if entry.expires is not None and entry.expires <= now else _day(entry.expires),
                _day(entry.last_used),
            )
            for entry in found.tokens
        ],
        whole="NAME",
    )


def _day(moment: int | None) -> str:
    return NOTHING if moment is None else time.strftime("%Y-%m-%d", time.gmtime(moment))
