"""`glm-aria serve`: options to one call of the services; the line that clients need."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click

from orchestrator.cli import options as shared
from orchestrator.cli import requests, terminal
from orchestrator.cli.commands.serve.orders import evict, prefetch
from orchestrator.cli.groups import HeadedGroup
from orchestrator.cli.options import Level, Output, SiteChoice
from orchestrator.cli.run import Run, finish, services
from orchestrator.cli.typed import option, takes
from orchestrator.core.sizes import format_size
from orchestrator.errors import UsageError
from orchestrator.serve.document import ServeDocument
from orchestrator.settings.values import STDOUT

if TYPE_CHECKING:
    from orchestrator.lists.request import Item

_WHERE, _WHAT = "Where to serve", "What to keep"
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of `serve`."""

    listen: Annotated[
        str,
        option("--listen", heading=_WHERE, metavar="HOST:PORT", default="127.0.0.1:8090", show_default=True,
               help="Listen there: an address of this machine, or 0.0.0.0 for all of them. Port 0 takes a free one, "
               "fd:// the socket that systemd opened."),
    ]  # fmt: skip
    auth: Annotated[
        Literal["tokens", "none"] | None,
        option("--auth", heading=_WHERE,
               help="Who gets in: only who has a token (glm-aria token), or everybody. If not given, a token is needed "
               "where other machines can connect."),
    ]  # fmt: skip
    certificate: Annotated[
        str | None,
        option("--cert", heading=_WHERE, metavar="FILE",
               help="Serve over TLS: a certificate in PEM form with its chain. A renewed one is used at once."),
    ]  # fmt: skip
    key: Annotated[
        str | None,
        option("--key", heading=_WHERE, metavar="FILE", help="The key of the certificate, which you alone may read."),
    ]  # fmt: skip
    gated: Annotated[
        Literal["off", "right", "hub"] | None,
        option("--gated", heading=_WHERE, setting="serve_gated",
               help="Serve gated and private repos, fetched with your token of the Hub: to tokens made with "
               "--restricted, or (hub) also to users whose own token of the Hub opens them."),
    ]  # fmt: skip
    registry: Annotated[
        str | None,
        option("--registry", heading=_WHERE, setting="serve_registry", metavar="URL",
               help="Have versions, aliases and rights for the models of this OCI registry, and issue its tokens."),
    ]  # fmt: skip
    registry_grpc: Annotated[
        str | None,
        option("--registry-grpc", heading=_WHERE, setting="serve_registry_grpc", metavar="HOST:PORT",
               help="Answer for the registry by gRPC there, too, with the certificate and the tokens of the server."),
    ]  # fmt: skip
    prefix: Annotated[
        str | None,
        option("--prefix", heading=_WHERE, metavar="/PATH",
               help="The path below which a proxy passes requests on."),
    ]  # fmt: skip
    host: Annotated[
        tuple[str, ...],
        option("--host", heading=_WHERE, setting="serve_hosts", metavar="NAME",
               help="Answer clients that call the server by this name, too (repeatable). Its addresses need none."),
    ]  # fmt: skip
    trusted_proxy: Annotated[
        tuple[str, ...],
        option("--trusted-proxy", heading=_WHERE, setting="serve_proxies", metavar="ADDRESS",
               help="Believe the proxy at this address, or in this network, when it tells for whom it asks "
               "(repeatable)."),
    ]  # fmt: skip
    access_log: Annotated[
        str | None,
        shared.rule("--access-log", setting="serve_access_log", metavar="FILE",
                    help="Write a line of JSON for each request to this file, or to stdout with -, without tokens and "
                    "queries. A new file is begun where logrotate renamed it."),
    ]  # fmt: skip
    scheduler: Annotated[
        str | None,
        option("--scheduler", heading=_WHERE, setting="fleet_control", metavar="HOST:PORT,...",
               help="Show the fleet of these schedulers on the page and in the metrics."),
    ]  # fmt: skip
    sites: SiteChoice
    cache_dir: Annotated[str | None, shared.CACHE_DIR]
    max_size: Annotated[
        str | None,
        shared.rule("--max-size", setting="serve_max_size", metavar="SIZE",
                    help="Keep the cache below this size, such as 500G: models that nobody pulled or pinned make room, "
                    "the longest unused first."),
    ]  # fmt: skip
    follow: Annotated[
        str | None,
        option("--follow", heading=_WHAT, setting="serve_follow", metavar="LIST",
               help="Keep the models of this list in the cache, and follow their branches. It may change."),
    ]  # fmt: skip
    max_speed: Annotated[str | None, shared.MAX_SPEED]
    trust: Annotated[Level | None, shared.TRUST]
    offline: Annotated[bool, shared.rule("--offline", setting="offline", help="Ask no server: serve what is cached.")]
    output: Output


@click.group("serve", cls=HeadedGroup, invoke_without_command=True)
@takes(ServeOptions)
def serve(options: ServeOptions) -> int:
    """Serve the cache to clients of Hugging Face and ModelScope, and fetch what it lacks.

    Any program that reads HF_ENDPOINT (hf, transformers, vLLM, datasets, curl) gets models, datasets and spaces through
    this server as from the Hub. A file that is not in the cache is fetched from all sources at once, like by pull,
    once for all clients, and kept in the cache. Clients get bytes that were proven against the root's digest; some get
    them while they arrive, if a failed proof cannot leave them with a wrong file.

    Programs that read MODELSCOPE_ENDPOINT (modelscope 1.38 and later) get models and datasets of ModelScope at the same
    address. A name means what its own site lists; what both list is fetched and kept once.

    Open repos are served: the server asks the root without your token. With --gated it asks with it, and gives what
    that opens to those who have a right to it. It listens on this machine only; with --listen it lets in who has a
    token of `glm-aria token create`.

    The lines to copy go to stdout. Warnings, and what was evicted, go to stderr; the page at its address shows what is
    on its way. Ctrl-C and SIGTERM stop it; partial downloads are kept.

    \b
    Examples:
      glm-aria serve
      export HF_ENDPOINT=http://127.0.0.1:8090
      hf download org/name

    \b
      glm-aria serve --listen 127.0.0.1:0 --cache-dir /data/hub
      glm-aria serve --max-size 500G
      glm-aria serve --listen 0.0.0.0:8090
      glm-aria serve prefetch org/name
    """
    if click.get_current_context().invoked_subcommand is not None:
        return 0

    from orchestrator.app.entrance import Entrance
    from orchestrator.app.serving import ServeRequest

    prefix = options.prefix or ""
    if prefix and not _PREFIX.fullmatch(prefix):
        raise UsageError(f"--prefix {prefix!r} is no path", hint="for example --prefix /hf")
    if (options.certificate is None) is not (options.key is None):
        raise UsageError("--cert and --key belong together", hint="name both files")
    files = (options.certificate, options.key)
    certificate, key = (Path(file).absolute() if file else None for file in files)
    entrance = Entrance(options.listen, prefix, options.auth, certificate, key)
    settings = shared.settings(options)
    if options.output.as_json and settings.serve_access_log == STDOUT:
        raise UsageError("--json and --access-log - both want stdout", hint="write the log to a file")
    run = Run.watching(options.output, settings)
    tell = terminal.say if options.output.as_json else terminal.result

    def show_address(url: str, rpc: str | None) -> None:
        for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT"):
            tell(f"export {name}={shlex.quote(url)}")
        terminal.say(f"to see what it does, open {url}/ in a browser")
        if rpc is not None:
            terminal.say(f"the registry answers gRPC at {rpc}")

    follow = settings.serve_follow
    if follow is not None and settings.offline:
        raise UsageError("--follow needs the network, and the settings say offline")
    chosen = requests.Selection()

    def read() -> tuple[tuple[Item, ...], tuple[Path, ...]]:
        return requests.watched(str(follow), chosen, run.tell_once)

    with run.watched():
        served = services(settings).serve(
            ServeRequest(entrance, show_address, (follow, read) if follow else None), run.emit_lasting
        )
    found = ServeDocument(served.url, served.requests, served.sent, served.sent_to_peers)
    return finish(run, "serve", found, _print, run.outcome())


def _print(found: ServeDocument) -> None:
    peers = f", and {format_size(found.bytes_sent_to_peers)} to other machines" if found.bytes_sent_to_peers else ""
    terminal.say(f"stopped after {found.requests} requests and {format_size(found.bytes_sent)} to clients{peers}")


serve.add_command(prefetch)
serve.add_command(evict)
