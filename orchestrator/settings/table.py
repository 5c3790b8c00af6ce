"""The table of settings: one declaration each, on the fields of `Settings`. All else is derived from it.

A declaration says what a setting means, how it is read, and how each layer spells it: a flag, variables, a key of a
file. `layers` looks settings up by it, `files` refuses what is personal, and the reference prints it.
"""

# No `from __future__ import annotations`: the table is read from them, and to evaluate texts takes a millisecond.
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, NamedTuple

from orchestrator.core.network.resolvers import NameServer
from orchestrator.core.sources import Source
from orchestrator.core.speeds import DaySpan, Speed, top_speed
from orchestrator.core.trust import Policy
from orchestrator.settings import notices, servers, speeds, values
from orchestrator.settings.values import Secret

# Why only a file of the user's own may say a setting. Every path is personal whatever it is for: `$NAME` in a path is
# expanded, which would put a secret into the name of a folder.
_SECRET, _BELIEVED = "where secrets go or come from", "which sites are trusted"
_ASKING, _SHARING, _AHEAD = "who may ask the server for what", "what others may have", "what a server fetches"


class Caution(NamedTuple):
    """A setting that works but that the user should know about; becomes an entry of `warnings`."""

    code: str
    message: str


class Key(NamedTuple):
    """The declaration of a setting: a sentence on what it means, its reader, and its spelling in each layer.

    Without `toml` files cannot set it; `toml` may be the name of a table. `personal` says what a file of the working
    directory would decide by it, and must not; empty when that is fine. `is_secret` hides its variables from commands
    that we run.
    """

    about: str
    read: values.Reader
    flag: str = ""
    variables: tuple[str, ...] = ()
    toml: str = ""
    personal: str = ""
    is_secret: bool = False

    @property
    def may_hold_login(self) -> bool:
        """True when its text may hold a password, in an address."""
        return self.read in (values.proxy, values.redis, values.control)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a run. Speeds are bytes per second, timeouts seconds.

    What is no key of the table follows from others: `hf_home` from the variables of huggingface_hub, `mirror_proxies`
    (by address) from the tables of mirrors. `token_withheld` says, in a sentence, why a root is not sent the token that
    there is. `origins` has for each setting where its value came from.
    """

    # fmt: off
    hf_home: Path
    cache_dir: Annotated[Path, Key(
        "The cache folder.", values.path,
        "--cache-dir", ("GLM_ARIA_CACHE_DIR", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"), "cache.dir",
        personal="where the cache is")]
    root: Annotated[Source, Key(
        "The site that is trusted for commits and digests.", values.text,
        "--root", ("GLM_ARIA_ROOT", "HF_ENDPOINT"), "trust.root", personal=_BELIEVED)]
    policy: Annotated[Policy, Key(
        "Who must confirm commits and digests.", values.policy,
        "--trust", ("GLM_ARIA_TRUST",), "trust.policy")]
    mirrors: Annotated[tuple[Source, ...], Key(
        "Further sites to fetch bytes from, in order of preference; never the root.", values.addresses,
        "--mirror", ("GLM_ARIA_MIRRORS",), "mirror")]
    token: Annotated[Secret | None, Key(
        "The token of the Hub.", values.text,
        "", ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), is_secret=True)]
    token_hosts: Annotated[frozenset[str], Key(
        "Hosts that receive the token besides the root: `host`, or `host:port`.", values.hosts,
        "", ("GLM_ARIA_TOKEN_HOSTS",), "trust.token_hosts", personal=_SECRET)]
    aliases: Annotated[Mapping[str, str], Key(
        "Names of models on Hugging Face, each with its name on ModelScope.", values.text,
        "", (), "aliases", personal=_BELIEVED)]
    registry_url: Annotated[str | None, Key(
        "The server that knows the versions and aliases of `reg://` models.", servers.server,
        "", ("GLM_ARIA_REGISTRY",), "registry.url", personal=_BELIEVED)] = None
    registry_hub_namespaces: Annotated[frozenset[str], Key(
        "Namespaces of the Hub, or `*`: there it may be asked for the model that a manifest of a registry names as its "
        "origin. It is never asked for one of the registry.", servers.namespaces,
        "", ("GLM_ARIA_REGISTRY_HUB_NAMESPACES",), "registry.hub_namespaces", personal=_BELIEVED)] = frozenset()
    mlflow_url: Annotated[str | None, Key(
        "The server of MLflow that knows `mlflow://` models.", servers.tracking,
        "", ("GLM_ARIA_MLFLOW", "MLFLOW_TRACKING_URI"), "mlflow.url", personal=_BELIEVED)] = None
    connections_per_mirror: Annotated[int, Key(
        "Most connections to one source for one file.", values.whole(1, 256),
        "--connections", ("GLM_ARIA_CONNECTIONS",), "transfer.connections_per_mirror")] = 256
    connection_budget: Annotated[int | None, Key(
        "Most connections in total; none: 64 to each source, more where its line loses packets, 256 in all.",
        values.whole(1, 1024),
        "", ("GLM_ARIA_CONNECTION_BUDGET",), "transfer.connection_budget")] = None
    jobs: Annotated[int | None, Key(
        "Files to fetch in parallel; none: as many as is useful.", values.whole(1, 1024),
        "--jobs", ("GLM_ARIA_JOBS",), "transfer.jobs")] = None
    max_speed: Annotated[Speed, Key(
        "Limit of the total bandwidth, in bytes per second, or by the time of the day; none: no limit.", speeds.speed,
        "--max-speed", ("GLM_ARIA_MAX_SPEED",), "transfer.max_speed")] = None
    polite: Annotated[bool, Key(
        "Take only what other programs leave of the line.", values.switch,
        "--polite", ("GLM_ARIA_POLITE",), "transfer.polite")] = False
    rpc: Annotated[str | None, Key(
        "The RPC address of a running aria2; none: start an aria2.", values.rpc,
        "--rpc", ("GLM_ARIA_RPC",), "aria2.rpc", personal=_SECRET)] = None
    rpc_secret_file: Annotated[Path | None, Key(
        "A file with the RPC secret of that aria2.", values.path,
        "--rpc-secret-file", ("GLM_ARIA_RPC_SECRET_FILE",), "aria2.rpc_secret_file", personal=_SECRET)] = None
    proxy: Annotated[str | None, Key(
        "The HTTP proxy, or `none`; not set: the proxy of `HTTPS_PROXY` and similar variables.", values.proxy,
        "--proxy", ("GLM_ARIA_PROXY",), "transfer.proxy")] = None
    root_proxy: Annotated[str | None, Key(
        "The HTTP proxy for the root only, or `none`; not set: as `proxy`.", values.proxy,
        "", ("GLM_ARIA_ROOT_PROXY",), "trust.root_proxy", personal=_BELIEVED)] = None
    mirror_proxies: Mapping[str, str] = field(default_factory=dict)
    no_proxy: Annotated[tuple[str, ...], Key(
        "Hosts and networks to contact without a proxy.", values.places,
        "", ("GLM_ARIA_NO_PROXY", "no_proxy", "NO_PROXY"), "transfer.no_proxy")] = ()
    ca_bundle: Annotated[Path | None, Key(
        "Trusted certificates, instead of the system's: a PEM file, or a folder.", values.certificates,
        "", ("GLM_ARIA_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), "tls.ca_bundle",
        personal=_SECRET)] = None
    dns_resolvers: Annotated[tuple[NameServer, ...], Key(
        "Resolvers for name lookups, instead of the system's.", values.resolvers,
        "", ("GLM_ARIA_DNS_RESOLVERS",), "dns.resolvers")] = ()
    offline: Annotated[bool, Key(
        "Ask no server.", values.switch,
        "--offline", ("GLM_ARIA_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"), "transfer.offline")] = False
    disable_symlinks: Annotated[bool, Key(
        "Put files into snapshots, instead of links.", values.switch,
        "", ("GLM_ARIA_DISABLE_SYMLINKS", "HF_HUB_DISABLE_SYMLINKS"), "cache.disable_symlinks")] = False
    portable: Annotated[bool, Key(
        "Refuse file names that some operating system cannot hold.", values.switch,
        "--portable", ("GLM_ARIA_PORTABLE",), "cache.portable")] = False
    etag_timeout: Annotated[float, Key(
        "Timeout in seconds for a connection attempt to a root.", values.seconds,
        "", ("GLM_ARIA_ETAG_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"), "transfer.etag_timeout")] = 10.0
    download_timeout: Annotated[float, Key(
        "Timeout in seconds for the next bytes from a root.", values.seconds,
        "", ("GLM_ARIA_DOWNLOAD_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"), "transfer.download_timeout")] = 10.0
    notify: Annotated[tuple[str, ...], Key(
        "Targets of notices of the end of a pull: `desktop`, and addresses of webhooks, such as `https://…` or `slack:https://…`.",
        notices.targets,
        "--notify", ("GLM_ARIA_NOTIFY",), "notify.to", personal="who hears about your pulls", is_secret=True)] = ()
    shared_redis: Annotated[Secret | None, Key(
        "The Redis that coordinates the nodes of a shared cache.", values.redis,
        "", ("GLM_ARIA_SHARED_REDIS",), "shared.redis", personal=_SECRET, is_secret=True)] = None
    serve_early: Annotated[str, Key(
        "Bytes that `serve` sends before a file is proven: `safe`, to clients that cannot end with a wrong file; or "
        "`never`.", values.one_of("safe", "never"),
        "", ("GLM_ARIA_SERVE_EARLY",), "serve.early")] = "safe"
    serve_gated: Annotated[str, Key(
        "Who gets gated and private repos from `serve`: nobody (`off`), tokens with the right to them (`right`), or "
        "also users whose own token of the Hub opens them at the root (`hub`).", values.one_of("off", "right", "hub"),
        "--gated", ("GLM_ARIA_SERVE_GATED",), "serve.gated", personal=_ASKING)] = "off"
    serve_access_log: Annotated[Path | None, Key(
        "File to which `serve` writes a line of JSON for each request; `-` is stdout, none: no log.", values.log,
        "--access-log", ("GLM_ARIA_SERVE_ACCESS_LOG",), "serve.access_log", personal=_ASKING)] = None
    serve_hosts: Annotated[tuple[str, ...], Key(
        "Names by which clients may call `serve`, beside the addresses at which it listens.", values.machines,
        "--host", ("GLM_ARIA_SERVE_HOSTS",), "serve.hosts", personal=_ASKING)] = ()
    serve_proxies: Annotated[tuple[str, ...], Key(
        "Addresses or networks of proxies before `serve`, which are believed when they tell for whom they ask "
        "(`X-Forwarded-For`, `X-Forwarded-Proto`).", values.networks,
        "--trusted-proxy", ("GLM_ARIA_SERVE_PROXIES",), "serve.proxies", personal=_ASKING)] = ()
    serve_client_connections: Annotated[int, Key(
        "Connections of one client to `serve` at once, and its requests at once through a proxy.",
        values.whole(1, 1024),
        "", ("GLM_ARIA_SERVE_CLIENT_CONNECTIONS",), "serve.client_connections", personal=_ASKING)] = 512
    serve_client_questions: Annotated[int, Key(
        "Questions of one client that `serve` asks the root at once; further ones wait for their turn.",
        values.whole(1, 16),
        "", ("GLM_ARIA_SERVE_CLIENT_QUESTIONS",), "serve.client_questions", personal=_ASKING)] = 4
    serve_client_speed: Annotated[int | None, Key(
        "Most bytes per second that `serve` sends to one client; none: no limit.", speeds.limit,
        "", ("GLM_ARIA_SERVE_CLIENT_SPEED",), "serve.client_speed", personal=_ASKING)] = None
    serve_max_size: Annotated[int | None, Key(
        "Size that the cache may have while `serve` fills it; models that only its clients asked for make room. none: "
        "what the disk holds.", speeds.limit,
        "--max-size", ("GLM_ARIA_SERVE_MAX_SIZE",), "serve.max_size", personal="what is removed from the cache")] = None
    serve_follow: Annotated[Path | None, Key(
        "A list of models that `serve` keeps in its cache, with the branches as they are.", values.path,
        "--follow", ("GLM_ARIA_SERVE_FOLLOW",), "serve.follow", personal="what a server fetches")] = None
    serve_token: Annotated[Secret | None, Key(
        "The token that `serve prefetch` and `serve evict` show to the server that `--server` names.", values.secret,
        "", ("GLM_ARIA_SERVE_TOKEN",), is_secret=True)] = None
    serve_registry: Annotated[str | None, Key(
        "The OCI registry for which `serve` has versions, aliases and rights: `https://HOST[:PORT]`.",
        servers.server,
        "--registry", ("GLM_ARIA_SERVE_REGISTRY",), "serve.registry", personal=_ASKING)] = None
    serve_registry_grpc: Annotated[str | None, Key(
        "Where `serve` answers for that registry by gRPC, too: `ADDRESS:PORT`; for other machines over TLS alone.",
        values.listen,
        "--registry-grpc", ("GLM_ARIA_SERVE_REGISTRY_GRPC",), "serve.registry_grpc", personal=_ASKING)] = None
    serve_registry_rules: Annotated[Path | None, Key(
        "A file of rules that a version has to keep before an alias of the registry moves to it.", values.path,
        "", ("GLM_ARIA_SERVE_REGISTRY_RULES",), "serve.registry_rules", personal=_ASKING)] = None
    serve_groups: Annotated[tuple[str, ...], Key(
        "Roles of groups that a trusted proxy names (`X-Forwarded-Groups`): `GROUP=ROLE`, or `GROUP=ROLE:NAMESPACE`.",
        servers.groups,
        "", ("GLM_ARIA_SERVE_GROUPS",), "serve.groups", personal=_ASKING)] = ()
    registry_token: Annotated[Secret | None, Key(
        "The token for that server.", values.secret,
        "", ("GLM_ARIA_REGISTRY_TOKEN",), is_secret=True)] = None
    fleet_key: Annotated[Secret | None, Key(
        "The key that all nodes of a fleet have; of several words the first is used, and all are believed.",
        values.secret,
        "", ("GLM_ARIA_FLEET_KEY",), is_secret=True)] = None
    fleet_key_file: Annotated[Path | None, Key(
        "A file with that key, which you alone may read; not set: `fleet.key` beside your settings file, if there is "
        "one.", values.path,
        "", ("GLM_ARIA_FLEET_KEY_FILE",), "fleet.key_file", personal=_SECRET)] = None
    fleet_share_restricted: Annotated[bool, Key(
        "Give files of gated and private repos to the other nodes of a fleet.", values.switch,
        "", ("GLM_ARIA_FLEET_SHARE_RESTRICTED",), "fleet.share_restricted", personal=_SHARING)] = False
    fleet_hosts: Annotated[tuple[str, ...], Key(
        "Names or addresses by which other nodes of a fleet call this one, beside its own: behind a port mapping, say.",
        values.machines,
        "", ("GLM_ARIA_FLEET_HOSTS",), "fleet.hosts", personal=_ASKING)] = ()
    fleet_uploads: Annotated[int, Key(
        "Answers with bytes that a node of a fleet sends to others at once.", values.whole(1, 256),
        "", ("GLM_ARIA_FLEET_UPLOADS",), "fleet.uploads")] = 16
    fleet_control: Annotated[Secret | None, Key(
        "Where the schedulers of the fleet are: `HOST:PORT`, several with commas between them, or the Redis over which "
        "nodes schedule by themselves.", values.control,
        "--fleet", ("GLM_ARIA_FLEET",), "fleet.control", personal=_SHARING)] = None
    fleet_redis: Annotated[Secret | None, Key(
        "The Redis in which the schedulers of a fleet keep what they agree on; none: one scheduler, which keeps it in "
        "memory.", values.redis,
        "--redis", ("GLM_ARIA_FLEET_REDIS",), "fleet.redis", personal=_SHARING, is_secret=True)] = None
    fleet_zone: Annotated[str, Key(
        "The zone of this node: its peers are first those of the same one.", values.zone,
        "--zone", ("GLM_ARIA_FLEET_ZONE",), "fleet.zone")] = ""
    node_labels: Annotated[tuple[str, ...], Key(
        "Labels of this node, by which a desired state chooses its models: `KEY=VALUE`.", values.labels,
        "--label", ("GLM_ARIA_LABELS",), "node.labels")] = ()
    fleet_site: Annotated[str, Key(
        "The name of the site of this scheduler, for those of other sites.", values.site,
        "--site", ("GLM_ARIA_FLEET_SITE",), "fleet.site")] = ""
    fleet_links: Annotated[tuple[str, ...], Key(
        "Schedulers of other sites that this one tells what its nodes have, and is told the same by: `HOST:PORT`, or "
        "`HOST` for port 8091. Either of two sites may name the other.", values.schedulers,
        "--link", ("GLM_ARIA_FLEET_LINKS",), "fleet.links", personal=_SHARING)] = ()
    fleet_authority: Annotated[Path | None, Key(
        "Certificates by which nodes and schedulers prove each other: a PEM file. With it, nodes speak to schedulers "
        "over TLS only.", values.path,
        "", ("GLM_ARIA_FLEET_AUTHORITY",), "fleet.authority", personal=_SHARING)] = None
    fleet_certificate: Annotated[Path | None, Key(
        "The certificate of this node or scheduler, with its chain: a PEM file.", values.path,
        "", ("GLM_ARIA_FLEET_CERTIFICATE",), "fleet.certificate", personal=_SHARING)] = None
    fleet_certificate_key: Annotated[Path | None, Key(
        "The key of that certificate: a PEM file that you alone may read.", values.path,
        "", ("GLM_ARIA_FLEET_CERTIFICATE_KEY",), "fleet.certificate_key", personal=_SHARING)] = None
    fleet_token: Annotated[Secret | None, Key(
        "The token that `fleet watch`, `ls`, `drain` and `cancel` show to a scheduler; not set: the key of the fleet.",
        values.secret,
        "", ("GLM_ARIA_FLEET_TOKEN",), is_secret=True)] = None
    fleet_lan: Annotated[bool, Key(
        "Find the other nodes of the fleet on the local network, and share what is pulled with them.", values.switch,
        "--lan", ("GLM_ARIA_FLEET_LAN",), "fleet.lan", personal=_SHARING)] = False
    fleet_peers: Annotated[tuple[str, ...], Key(
        "Other nodes of the fleet to share what is pulled with: `HOST:PORT`, or `HOST` for port 8092.", values.peers,
        "--peer", ("GLM_ARIA_FLEET_PEERS",), "fleet.peers", personal=_SHARING)] = ()
    fleet_listen: Annotated[str | None, Key(
        "Where the other nodes reach this one; none: port 8092 of all its IPv4 addresses, or a free one.",
        values.listen, "--peer-listen", ("GLM_ARIA_FLEET_LISTEN",), "fleet.listen", personal=_SHARING)] = None
    fleet_linger: Annotated[int, Key(
        "Seconds that a pull stays at most for nodes that need what it alone has; 0: it ends when it is done.",
        values.whole(0, 86400),
        "--linger", ("GLM_ARIA_FLEET_LINGER",), "fleet.linger")] = 300
    predict_enabled: Annotated[bool, Key(
        "Let `serve` act on a forecast of `glm-aria predict train` that passed its gate: fetch what will be asked for.",
        values.switch,
        "", ("GLM_ARIA_PREDICT",), "predict.enabled", personal=_AHEAD)] = False
    predict_dry_run: Annotated[bool, Key(
        "Tell what `serve` would fetch because of a forecast, and why, and fetch nothing.", values.switch,
        "", ("GLM_ARIA_PREDICT_DRY_RUN",), "predict.dry_run", personal=_AHEAD)] = False
    predict_price: Annotated[float, Key(
        "The waiting in seconds that each GB which `serve` fetches ahead has to save, as is to be expected.",
        values.seconds,
        "", ("GLM_ARIA_PREDICT_PRICE",), "predict.price", personal=_AHEAD)] = 5.0
    predict_daily: Annotated[int | None, Key(
        "Most bytes that `serve` fetches ahead in 24 hours; none: no limit.", speeds.limit,
        "", ("GLM_ARIA_PREDICT_DAILY",), "predict.daily", personal=_AHEAD)] = 200_000_000_000
    predict_windows: Annotated[tuple[DaySpan, ...], Key(
        "The hours in which `serve` fetches ahead, such as `22:00-06:00,12:00-13:00`, and then for the next 12 hours; "
        "none: at any time, and for the next 4 hours.", speeds.windows,
        "", ("GLM_ARIA_PREDICT_WINDOWS",), "predict.windows", personal=_AHEAD)] = ()
    # fmt: on
    token_withheld: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict, repr=False)
    warnings: tuple[Caution, ...] = ()

    @property
    def top_speed(self) -> int | None:
        """The highest limit of the day; None when there is none at some time."""
        return top_speed(self.max_speed)


_DECLARED: dict[str, Key] = {
    name: hint.__metadata__[0] for name, hint in Settings.__annotations__.items() if hasattr(hint, "__metadata__")
}

KEYS: dict[str, Key] = _DECLARED | {
    # Its content is the token; no run needs to know its name.
    "token_file": Key(
        "A file that holds the token.", values.path,
        "--token-file", ("GLM_ARIA_TOKEN_FILE",), "trust.token_file", personal=_SECRET),
}  # fmt: skip
"""All declarations, by the name of the setting."""

PLAIN: tuple[str, ...] = tuple(
    item.name for item in fields(Settings) if item.name in KEYS and item.default is not MISSING
)
"""The settings that are what the highest layer says, else their default; the others follow rules of their own."""

PERSONAL = {key.toml: key.personal for key in KEYS.values() if key.personal}
"""Keys of files that only a file of the user's own may say, and what a file of the working directory would decide."""
