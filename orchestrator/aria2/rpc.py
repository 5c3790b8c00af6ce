"""aria2's JSON-RPC, through aria2p's client on one kept-open connection.

This module is where the exceptions of aria2p, of the standard library's HTTP client and of TLS become ours.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import secrets
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aria2p

from orchestrator.aria2.endpoint import Download, Endpoint
from orchestrator.aria2.spelling import spelled
from orchestrator.aria2.transport import KeepAliveClient
from orchestrator.disk.folders import is_same_place, try_to_write
from orchestrator.errors import DaemonError

_KEYS = ("gid", "status", "completedLength", "connections", "errorCode", "errorMessage")
_STOPPED = ("complete", "error", "removed")
# A paused metalink that points nowhere: aria2 saves what is uploaded into `dir`, which shows whose disk that is.
_PROBE = (
    b'<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="glm-aria-%s">'
    b"<url>http://127.0.0.1:9/</url></file></metalink>"
)
# OSError: those of the connection and of TLS. The last three are what becomes of an answer that is not JSON-RPC.
_FOREIGN = (aria2p.ClientException, http.client.HTTPException, OSError, ValueError, KeyError, TypeError)
_UNTRUSTED = re.compile(r"certificate verify failed: ([^(\]]+)")
_Call = tuple[str, list[Any]]


@dataclass(frozen=True, slots=True)
class DownloadStatus:
    """One download as `aria2.tellStatus` shows it. `done` is in bytes.

    `bitfield` is empty unless it was asked for; its highest bit is the first piece.
    """

    gid: str
    status: str
    done: int
    connections: int
    error_code: int
    error_message: str
    bitfield: bytes = b""

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> DownloadStatus:
        """Read the answer; keys that aria2 leaves out count as 0 or empty."""
        return cls(
            gid=answer["gid"],
            status=answer["status"],
            done=int(answer.get("completedLength") or 0),
            connections=int(answer.get("connections") or 0),
            error_code=int(answer.get("errorCode") or 0),
            error_message=answer.get("errorMessage") or "",
            bitfield=bytes.fromhex(answer.get("bitfield") or ""),
        )

    @property
    def is_active(self) -> bool:
        """True when it may send requests now; else it is queued, paused or stopped."""
        return self.status == "active"

    @property
    def is_complete(self) -> bool:
        """True when aria2 has all that it was asked for."""
        return self.status == "complete"

    @property
    def is_removed(self) -> bool:
        """True when somebody took it out of the daemon: we, or a person at a front end."""
        return self.status == "removed"

    @property
    def is_stopped(self) -> bool:
        """True when aria2 is done with it, one way or another, and has closed its file."""
        return self.status in _STOPPED


class Rpc:
    """The calls that glm-aria needs. Every method raises DaemonError when the daemon does not answer as it should."""

    def __init__(self, endpoint: Endpoint, *, timeout: float = 15.0) -> None:
        self.endpoint = endpoint
        self._client = KeepAliveClient(endpoint, timeout)

    def close(self) -> None:
        """Close the connection; the daemon is not touched."""
        self._client.close()

    def version(self) -> str:
        """aria2's version; the cheapest proof that daemon and secret are right."""
        return str(self._mapping("aria2.getVersion").get("version", "?"))

    def global_stat(self) -> Mapping[str, str]:
        """`aria2.getGlobalStat`: speeds and counts of all downloads of the daemon, not only ours."""
        return self._mapping("aria2.getGlobalStat")

    def add(self, downloads: Sequence[Download]) -> list[str | DaemonError]:
        """Queue downloads, in one request; their gids, or why one was refused."""
        calls: list[_Call] = [("aria2.addMetalink", [one.metalink, dict(one.options)]) for one in downloads]
        answers = self._multicall(calls)
        return [
            DaemonError(f"aria2 refused a download: {answer['message']}") if isinstance(answer, dict) else _gid(answer)
            for answer in answers
        ]

    def tell(self, gids: Sequence[str], *, with_bitfield: bool = False) -> dict[str, DownloadStatus]:
        """The status of these downloads, in one request; a gid that the daemon does not know is left out.

        Ignores downloads of others: their content may have any shape and number.
        """
        keys = [*_KEYS, "bitfield"] if with_bitfield else list(_KEYS)
        calls: list[_Call] = [("aria2.tellStatus", [gid, keys]) for gid in gids]
        answers = zip(gids, self._multicall(calls), strict=True) if calls else ()
        return {gid: DownloadStatus.parse(answer[0]) for gid, answer in answers if isinstance(answer, list)}

    def writers(self, parts: Iterable[Path]) -> list[str]:
        """The gids of all unfinished downloads that write to one of these parts or of its spans, of any client.

        Others' downloads are not looked at beyond their names: one may have no file yet, as a magnet link has.
        """
        ours = {part.name: part.parent for part in parts}

        def is_ours(path: str) -> bool:
            folder, _, name = path.rpartition("/")
            known = ours.get(name.partition(".")[0])
            return known is not None and is_same_place(Path(folder), known)

        keys = ["gid", "files"]
        answers = self._multicall([("aria2.tellActive", [keys]), ("aria2.tellWaiting", [0, 4096, keys])])
        return [
            str(one["gid"])
            for answer in answers
            for one in _first(answer)
            if any(is_ours(str(file.get("path", ""))) for file in one.get("files", ()))
        ]

    def circumstances(self) -> tuple[Mapping[str, str], int]:
        """The daemon's global options, and how many downloads are active, ours and others'."""
        options, stat = self._multicall([("aria2.getGlobalOption", []), ("aria2.getGlobalStat", [])])
        return _first(options), int(_first(stat)["numActive"])

    def ca_certificate(self) -> str:
        """The file of certificates that the daemon was started with; empty for the system's."""
        return self._mapping("aria2.getGlobalOption").get("ca-certificate", "")

    def conf_path(self) -> str | None:
        """The configuration file that the daemon was started with; None where it tells none."""
        return self._mapping("aria2.getGlobalOption").get("conf-path") or None

    def change_options(self, changes: Iterable[tuple[str, Mapping[str, str]]]) -> None:
        """Set options of single downloads; one that has ended meanwhile is passed over."""
        calls: list[_Call] = [("aria2.changeOption", [gid, dict(options)]) for gid, options in changes]
        if calls:
            self._multicall(calls)

    def limit_all(self, rate: int) -> None:
        """Bytes per second over all downloads of the daemon, which has to be ours alone."""
        self._multicall([("aria2.changeGlobalOption", [{"max-overall-download-limit": str(rate)}])])

    def remove(self, gids: Sequence[str]) -> None:
        """Stop these downloads at once and forget them; what they wrote stays. Unknown gids are passed over."""
        self._each(("aria2.forceRemove", "aria2.removeDownloadResult"), gids)

    def forget(self, gids: Sequence[str]) -> None:
        """Drop the results of downloads that have ended."""
        self._each(("aria2.removeDownloadResult",), gids)

    def stop(self, gids: Sequence[str]) -> None:
        """Stop these downloads; their status can still be asked. Unknown gids are passed over."""
        self._each(("aria2.forceRemove",), gids)

    def writes_into(self, folder: Path) -> bool:
        """True when files that the daemon writes into `folder` appear in our `folder`: same disk, and permitted.

        aria2 saves an uploaded metalink under `dir` (`rpc-save-upload-metadata`, a per-download option), named by its
        SHA-1; nothing is fetched and nothing stays. Others ask in the same folder at the same time. Raises what
        `system.failures` says when the disk is at fault.
        """
        content = _PROBE % secrets.token_hex(8).encode()
        arrived = folder / f"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}.meta4"
        probe = base64.b64encode(content).decode()
        options = {"dir": spelled(folder), "pause": "true", "rpc-save-upload-metadata": "true"}
        gids = self._call("aria2.addMetalink", probe, options)
        if not isinstance(gids, list):
            raise self._translated(TypeError())
        self.remove([str(gid) for gid in gids])
        try:
            arrived.unlink()
        except FileNotFoundError:
            # A disk on which we fail as well is no sign of another one.
            try_to_write(folder)
            return False
        return True

    def _each(self, methods: Sequence[str], gids: Sequence[str]) -> None:
        calls: list[_Call] = [(method, [gid]) for gid in gids for method in methods]
        if calls:
            self._multicall(calls)

    def _mapping(self, method: str) -> Mapping[str, str]:
        answer = self._call(method)
        if not isinstance(answer, dict):
            raise self._translated(TypeError())
        return answer

    def _call(self, method: str, *params: Any) -> Any:
        try:
            return self._client.call(method, list(params))
        except _FOREIGN as error:
            raise self._translated(error) from error

    def _multicall(self, calls: list[_Call]) -> list[Any]:
        try:
            answer = self._client.multicall2(calls)
        except _FOREIGN as error:
            raise self._translated(error) from error
        if not isinstance(answer, list) or len(answer) != len(calls):
            raise DaemonError("the aria2 daemon answered a multicall with something else")
        return answer

    def _translated(self, error: Exception) -> DaemonError:
        where = self.endpoint.url
        if isinstance(error, ssl.SSLError):
            told = _UNTRUSTED.search(str(error))
            if not told:
                return DaemonError(f"the server at {where} does not speak TLS", hint="is its address http://…?")
            return DaemonError(
                f"the certificate of the aria2 daemon at {where} is not trusted: {told[1].strip()}",
                hint="name the CA that signed it: export GLM_ARIA_CA_BUNDLE=FILE, or tls.ca_bundle in your settings",
            )
        if isinstance(error, aria2p.ClientException):
            if "Unauthorized" in str(error):
                return DaemonError(
                    f"the aria2 daemon at {where} refused our secret",
                    hint="give its rpc-secret in a file: --rpc-secret-file FILE",
                )
            return DaemonError(f"the aria2 daemon at {where} refused a call: {error}")
        if isinstance(error, OSError | http.client.HTTPException):
            why = str(getattr(error, "strerror", None) or error or type(error).__name__)
            return DaemonError(
                f"the aria2 daemon at {where} does not answer: {why}",
                hint="is it running with --enable-rpc, and with rpc-secure=true at https://…? leave out --rpc to use a"
                " daemon of glm-aria's own",
            )
        hint = "check the address given to --rpc"
        if not urlsplit(where).path.strip("/"):
            hint = f"aria2 listens at a path: --rpc {where.rstrip('/')}/jsonrpc"
        return DaemonError(f"the server at {where} is not aria2", hint=hint)


def _gid(answer: Any) -> str:
    """The gid in the answer to an addition; that of a metalink is a list of one."""
    found = _first(answer)
    return str(found[0] if isinstance(found, list) and found else found)


def _first(answer: Any) -> Any:
    """The result inside one multicall answer, which is a list of one; a fault there means a broken daemon."""
    if not isinstance(answer, list):
        message = answer.get("message") if isinstance(answer, dict) else answer
        raise DaemonError(f"the aria2 daemon refused a call: {message}")
    return answer[0]
