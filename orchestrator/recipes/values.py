"""The values of each template that a user can render: where one comes from, and what may be given instead.

A value ends up in the configuration of another program, so each is read by a rule that lets nothing through which that
program would take for a directive of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestrator import __version__
from orchestrator.errors import UsageError
from orchestrator.recipes import defaults, readers
from orchestrator.recipes.defaults import Default, Known
from orchestrator.recipes.readers import Read
from orchestrator.system.certificates import CA_FILES

_STREAM_MODULES = ("/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so")


@dataclass(frozen=True, slots=True)
class Value:
    """The reader of a `--set` text (ValueError: it is refused), and the default text."""

    read: Read
    default: Default


def values_of(name: str, given: Mapping[str, str], what_is_known: Callable[[], Known]) -> dict[str, object]:
    """All values of a template. Raises UsageError for one that is unknown or wrong, or that nothing can be made of."""
    known = _VALUES.get(name, {})
    found: dict[str, object] = {"version": __version__}
    for key in given:
        if key not in known:
            values = ", ".join(known) or "none"
            raise UsageError(f"the template {name} has no value {key!r}", hint=f"its values: {values}")
    if not known:
        return found
    basis = what_is_known()
    for key, value in known.items():
        text = given[key] if key in given else value.default(basis)
        try:
            found[key] = value.read(text)
        except ValueError as error:
            what = f"--set {key}={text}" if key in given else f"what {key} is without a --set, {text!r},"
            raise UsageError(f"{what}: {error}", hint=None if key in given else f"--set {key}=VALUE") from error
    if name == "glm-aria-node.service" and found["follow"] and "scheduler" not in given:
        found["scheduler"] = ""
    if name == "nginx-relay.conf":
        _relay_hosts(found, cdns_given="cdn_hosts" in given)
    return found


def _relay_hosts(found: dict[str, object], *, cdns_given: bool) -> None:
    upstream = urlsplit(str(found["upstream"]))
    if upstream.path:
        raise UsageError("the relay's upstream must be a site without a path", hint="--set upstream=https://SITE")
    found["upstream_host"] = upstream.netloc
    hosts = found["cdn_hosts"]
    if isinstance(hosts, list) and not cdns_given:
        found["cdn_hosts"] = list(dict.fromkeys([*hosts, upstream.hostname or ""]))


_UNIT = {
    "scope": Value(readers.unit_scope, defaults.always("user")),
    "user": Value(readers.name, defaults.always("glm-aria")),
    "folder": Value(readers.path, defaults.always("/var/lib/glm-aria")),
    "program": Value(readers.systemd_word, defaults.own_program),
    "log": Value(readers.unit_log, defaults.always("lines")),
}
"""The values of each unit that may be one of the system."""

_VALUES: dict[str, dict[str, Value]] = {
    "nginx-relay.conf": {
        "upstream": Value(readers.address, lambda known: readers.address(known.root.url)),
        "cdn_hosts": Value(readers.hosts, defaults.always("hf.co,huggingface.co")),
        "listen": Value(readers.listen, defaults.always("127.0.0.1")),
        "port": Value(readers.port, defaults.always("8090")),
        "cdn_port": Value(readers.port, defaults.always("8092")),
        "folder": Value(readers.path, defaults.folder("relay")),
        "size": Value(readers.size, defaults.always("200g")),
        "slice": Value(readers.size, defaults.always("8m")),
        "fresh": Value(readers.time, defaults.always("1m")),
        "resolvers": Value(readers.resolvers, defaults.nginx_resolvers),
        "ca_file": Value(readers.path, defaults.first_file(CA_FILES, CA_FILES[0])),
    },
    "nginx-serve.conf": {
        "server": Value(readers.local_server, defaults.always("127.0.0.1:8090")),
        "host": Value(readers.host, defaults.this_machine),
        "listen": Value(readers.listen, defaults.always("*")),
        "port": Value(readers.port, defaults.always("443")),
        "certificate": Value(readers.path, defaults.always("/etc/ssl/glm-aria/fullchain.pem")),
        "key": Value(readers.path, defaults.always("/etc/ssl/glm-aria/privkey.pem")),
        "folder": Value(readers.path, defaults.folder("serve")),
    },
    "nginx-stream.conf": {
        "servers": Value(readers.servers, defaults.measured_servers),
        "listen": Value(readers.listen, defaults.always("127.0.0.1")),
        "port": Value(readers.port, defaults.always("8091")),
        "folder": Value(readers.path, defaults.folder("stream")),
        "max_fails": Value(readers.count, defaults.always("3")),
        "fail_timeout": Value(readers.time, defaults.always("30s")),
        "module": Value(readers.path_or_none, defaults.first_file(_STREAM_MODULES, "")),
    },
    "nginx.service": {
        "conf": Value(readers.path, defaults.config("glm-aria/nginx-relay.conf")),
        "folder": Value(readers.path, defaults.folder("relay")),
        "nginx": Value(readers.path, defaults.program("nginx", "/usr/sbin/nginx")),
    },
    "aria2.service": {
        "conf": Value(readers.path, defaults.config("aria2/aria2.conf")),
        "secret_conf": Value(readers.path, defaults.config("aria2/secret.conf")),
        "port": Value(readers.port, defaults.always("6800")),
        "aria2c": Value(readers.path, defaults.program("aria2c", "/usr/bin/aria2c")),
    },
    "glm-aria-watch.service": {
        "list": Value(readers.systemd_word, defaults.config("glm-aria/models.txt")),
        "interval": Value(readers.time, defaults.always("5m")),
        "program": Value(readers.systemd_word, defaults.own_program),
    },
    "glm-aria-serve.service": {
        **_UNIT,
        "listen": Value(readers.place_or_socket, defaults.always("127.0.0.1:8090")),
        "log": Value(readers.unit_log, defaults.always("none")),
    },
    "glm-aria-serve.socket": {
        "scope": _UNIT["scope"],
        "listen": Value(readers.place, defaults.always("127.0.0.1:8090")),
    },
    "glm-aria-predict.service": {key: value for key, value in _UNIT.items() if key != "log"},
    "glm-aria-predict.timer": {"scope": _UNIT["scope"]},
    "glm-aria-scheduler.service": {
        **_UNIT,
        "listen": Value(readers.place, defaults.always("127.0.0.1:8091")),
    },
    "glm-aria-node.service": {
        **_UNIT,
        "follow": Value(readers.systemd_source, defaults.always("")),
        "status": Value(readers.place_or_none, defaults.always("")),
        "scheduler": Value(readers.place_list, defaults.always("127.0.0.1:8091")),
    },
    "prometheus-scrape.yml": {
        "target": Value(readers.place, defaults.always("127.0.0.1:8090")),
        "job": Value(readers.name, defaults.always("glm-aria")),
    },
    "prometheus-alerts.yml": {"job": Value(readers.name, defaults.always("glm-aria"))},
    "dfdaemon.yaml": {
        "upstream": Value(readers.address, lambda known: readers.address(known.root.url)),
        "listen": Value(readers.listen, defaults.always("127.0.0.1")),
        "port": Value(readers.port, defaults.always("4001")),
    },
    "gitconfig": {
        "root": Value(readers.address, lambda known: readers.address(known.root.url)),
        "mirror": Value(readers.address, lambda known: defaults.chosen_mirror(known, None)),
    },
    "resolved.conf": {"resolvers": Value(readers.plain_resolvers, defaults.far_resolvers)},
}
