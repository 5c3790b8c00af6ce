"""`LoopbackHub`: the Hugging Face Hub, its CDN, mirrors and ModelScope on real sockets of this machine.

    from tests.hub.faults import Fault
    from tests.hub.loopback import LoopbackHub
    from tests.hub.models import many_files, one_big, tiny_model
    from tests.hub.repos import Repo
    from tests.hub.shaping import Shape

    repo = Repo("model", "org/tiny", tiny_model(seed=1))
    closed = Repo("model", "org/gated", {"a.bin": b"x"}, gated="manual")
    with LoopbackHub([repo, closed], tokens={"hf_alice": {"org/gated"}, "hf_bob": set()}) as hub:
        hub.url, hub.cdn_url                      # http://127.0.0.1:<port>, http://localhost:<port>
        hub.env(tmp_path)                         # HF_ENDPOINT, HF_HOME ... for a client in a subprocess
        repo.commit({"README.md": b"new"})        # a later commit on main; also tag(), branch(), pull_request()
        hub.add(Repo("dataset", "org/data", {"x.parquet": b"..."}))

        hub.fault(Fault("bit_flip", "*.safetensors", times=1), face="cdn")   # see faults.KINDS
        hub.clear_faults()
        hub.rewrite(lambda request, reply: ..., face="hub")   # what no fault can do
        hub.faces["cdn"].shape = Shape(latency_s=0.05, rate_per_connection=10e6, total_rate=50e6)
        with hub.held("cdn"): ...                 # bodies stand still meanwhile
        hub.advance(7200)                         # the server's clock: signed URLs expire, quota windows pass
        hub.rate_limit(api=3, resolvers=100)      # RateLimit headers, then 429; rate_limit(None) ends it

        near = hub.mirror("near", shape=Shape(latency_s=0.001))              # serves LFS bytes by itself (faces: near)
        far = hub.mirror("far", own_cdn=True, cdn_faults=[Fault("substitute")])  # faces far, far-cdn
        stale = hub.mirror("stale", repos=[Repo("model", "org/tiny", {...})])
        near.url

        ms = hub.modelscope(aliases={"OrgMS/tiny": "org/tiny"})              # faces: modelscope, modelscope-cdn
        ms.url

        hub.log.requests(face="cdn", method="GET", file="*.safetensors")     # list of log.Exchange
        hub.log.bytes_sent(face="cdn"); hub.log.connections(face="cdn"); hub.log.tokens(face="cdn")
        hub.log.settle(); hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 1000); hub.log.reset()

`tokens` maps each valid token to the gated and private repositories it opens. Any other token is answered 401. With
`explicit_codes=False` a 401 for a missing repository carries no X-Error-Code, as live sites may answer; over plain
http clients then cannot tell it from other errors. Constructor arguments hold for the main pair of faces, named
`hub` and `cdn`; `tls` (see `certificates`) makes them https, and a mirror has a `tls` of its own. All faces listen at
`address`, and the thread that serves first calls `enter`, which may move it into a network namespace. Everything may
be changed from any thread while it serves.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hub.access import Shelf
from tests.hub.cdn import Cdn
from tests.hub.faces import Face, Handler
from tests.hub.faults import Fault, fault_set
from tests.hub.huggingface import HuggingFace
from tests.hub.log import RequestLog
from tests.hub.modelscope import LISTING_CAP, ModelScope
from tests.hub.quota import Quota
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.hub.wire import Reply, Request

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Site:
    """A face and the CDN face that goes with it (None: it serves everything by itself)."""

    face: Face
    cdn: Face | None
    shelf: Shelf

    @property
    def url(self) -> str:
        return self.face.url

    @property
    def cdn_url(self) -> str | None:
        return self.cdn.url if self.cdn else None


class LoopbackHub:
    """See the module's docstring. A context manager; its event loop runs in a thread of its own."""

    def __init__(
        self,
        repos: Iterable[Repo] = (),
        *,
        tokens: Mapping[str, Collection[str]] | None = None,
        page_size: int = 1000,
        url_ttl_s: float = 3600,
        explicit_codes: bool = True,
        shape: Shape | None = None,
        cdn_shape: Shape | None = None,
        faults: Iterable[Fault] = (),
        cdn_faults: Iterable[Fault] = (),
        tls: ssl.SSLContext | None = None,
        address: str = _LOOPBACK,
        enter: Callable[[], None] = lambda: None,
    ) -> None:
        self.log = RequestLog()
        self.shelf = Shelf.of(repos, tokens or {}, explicit_codes=explicit_codes)
        self.faces: dict[str, Face] = {}
        self._ahead_s = 0.0
        self._address, self._enter = address, enter
        self._page_size, self._url_ttl_s, self._tls = page_size, url_ttl_s, tls
        self._main = (shape, cdn_shape, tuple(faults), tuple(cdn_faults))
        self._handlers: dict[str, HuggingFace] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # -- life

    def __enter__(self) -> LoopbackHub:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, args=(self._loop,), name="loopback-hub", daemon=True)
        self._thread.start()
        shape, cdn_shape, faults, cdn_faults = self._main
        self._site("hub", self.shelf, "cdn", shape, cdn_shape, faults, cdn_faults, tls=self._tls)
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        """Stop serving. A handler or a change of a test's own that raised fails the test, unless that has failed."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._run(self._stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        self._loop = self._thread = None
        errors = [error for face in self.faces.values() for error in face.errors]
        assert kind is not None or not errors, f"the hub answered 500, since it failed: {errors[:3]}"

    def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        self._enter()
        loop.run_forever()

    async def _stop(self) -> None:
        await asyncio.gather(*(face.stop() for face in self.faces.values()))
        await asyncio.get_running_loop().shutdown_default_executor()

    # -- what is served

    @property
    def url(self) -> str:
        return self.faces["hub"].url

    @property
    def host(self) -> str:
        """Host and port of the Hub itself, as `Credentials` names those that get the token."""
        return self.url.partition("://")[2]

    @property
    def cdn_url(self) -> str:
        return self.faces["cdn"].url

    def add(self, repo: Repo) -> Repo:
        self.shelf.add(repo)
        return repo

    def repo(self, name: str, repo_type: str = "model") -> Repo:
        return self.shelf.repos[repo_type, name]

    def env(self, home: Path, token: str | None = None) -> dict[str, str]:
        """Variables that point a Hugging Face client at this hub and at an empty home."""
        base = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*"}
        return base | ({"HF_TOKEN": token} if token else {})

    # -- other faces

    def mirror(
        self,
        name: str,
        *,
        repos: Iterable[Repo] | None = None,
        own_cdn: bool = False,
        shape: Shape | None = None,
        faults: Iterable[Fault] = (),
        cdn_faults: Iterable[Fault] = (),
        links_to_origin: bool = False,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> Site:
        """Another face of the same repositories, or of `repos` (stale or lying ones); `shape` holds for its CDN too.

        With `links_to_origin` its pagination links name the hub, not itself, as a mirror does that forwards answers
        unread.
        """
        shelf = self.shelf if repos is None else Shelf.of(repos, self.shelf.tokens)
        cdn_name = f"{name}-cdn" if own_cdn else None
        origin = "hub" if links_to_origin else name
        return self._site(name, shelf, cdn_name, shape, shape, faults, cdn_faults, links=origin, host=host, tls=tls)

    def modelscope(
        self,
        name: str = "modelscope",
        *,
        repos: Iterable[Repo] | None = None,
        aliases: Mapping[str, str] | None = None,
        listing_cap: int = LISTING_CAP,
        errors_in_200: bool = True,
        small_files_ignore_range: bool = True,
        shape: Shape | None = None,
        faults: Iterable[Fault] = (),
        cdn_faults: Iterable[Fault] = (),
    ) -> Site:
        """ModelScope's API over the same repositories, or over `repos`."""
        shelf = self.shelf if repos is None else Shelf.of(repos, self.shelf.tokens)
        signer = Cdn(self.clock, self._url_ttl_s, tells_digest=True)
        cdn = self._face(f"{name}-cdn", signer.handle, "localhost", shape, cdn_faults)
        handler = ModelScope(
            shelf, (signer, lambda: cdn.url), aliases or {}, listing_cap, errors_in_200, small_files_ignore_range
        )
        return Site(self._face(name, handler, "127.0.0.1", shape, faults), cdn, shelf)

    def serve(self, face: Face) -> str:
        """Start a face that was made elsewhere on this hub's loop; return its URL. It stops with the hub."""
        self._run(face.start())
        self.faces[face.name] = face
        return face.url

    # -- switches

    def stop_face(self, name: str) -> None:
        """Take a face off the net for good, in the middle of whatever it is sending."""
        self._run(self.faces[name].stop())

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Inside, a face sends no more of any body: what it sends to a process that stands still, the kernel keeps."""
        self._run(self.faces[name].hold())
        try:
            yield
        finally:
            self._run(self.faces[name].flow())

    def fault(self, *faults: Fault, face: str = "hub") -> None:
        self.faces[face].faults.add(*faults)

    def clear_faults(self, face: str | None = None) -> None:
        for name, served in self.faces.items():
            if face in (None, name):
                served.faults.clear()

    def rewrite(self, change: Callable[[Request, Reply], Reply], face: str = "hub") -> None:
        """From now on a face answers what `change` makes of its answers."""
        plain = self.faces[face].handler
        self.faces[face].handler = lambda request: change(request, plain(request))

    def rate_limit(
        self, api: int | None = 500, resolvers: int = 3000, window_s: float = 300, face: str = "hub"
    ) -> None:
        """Put a quota on a face (`api=None`: take it off)."""
        limited = None if api is None else Quota(self.clock, api, resolvers, window_s)
        self._handlers[face].quota = limited

    def clock(self) -> float:
        """Epoch seconds, as the servers see them."""
        return time.time() + self._ahead_s

    def advance(self, seconds: float) -> None:
        self._ahead_s += seconds

    # -- inside

    def _site(
        self,
        name: str,
        shelf: Shelf,
        cdn_name: str | None,
        shape: Shape | None,
        cdn_shape: Shape | None,
        faults: Iterable[Fault],
        cdn_faults: Iterable[Fault],
        *,
        links: str | None = None,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> Site:
        cdn, pair = None, None
        if cdn_name is not None:
            signer = Cdn(self.clock, self._url_ttl_s)
            cdn = self._face(cdn_name, signer.handle, "localhost", cdn_shape, cdn_faults, tls)
            base = cdn
            pair = (signer, lambda: base.url)
        handler = HuggingFace(shelf, lambda: self.faces[links or name].url, pair, self.clock, self._page_size)
        self._handlers[name] = handler
        return Site(self._face(name, handler, host, shape, faults, tls), cdn, shelf)

    def _face(
        self,
        name: str,
        handler: Handler,
        host: str,
        shape: Shape | None,
        faults: Iterable[Fault],
        tls: ssl.SSLContext | None = None,
    ) -> Face:
        if name in self.faces:
            raise ValueError(f"a face named {name!r} exists")
        address = self._address
        if address != _LOOPBACK:
            host = address
        made = Face(name, handler, self.log, host=host, address=address, shape=shape, faults=fault_set(faults), tls=tls)
        self.serve(made)
        return made

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            work.close()
            raise RuntimeError("the hub is not running: use it in a with statement")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)
