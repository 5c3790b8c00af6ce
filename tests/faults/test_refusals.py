"""Rows 21 to 42: what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.listings import HUGGINGFACE, MODELSCOPE, TABLE, Dialect, Lie, fault
from tests.faults.world import NAME, World, files
from tests.hub.certificates import LOOPBACK, make_certificate, server_context
from tests.hub.faults import Fault
from tests.hub.repos import Repo

MEMORY_KIB = 400 << 10
"""A listing of 32 MiB, the most that is read, as text and as values."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    torture = metafunc.config.option.torture
    if "lie" in metafunc.fixturenames:
        dialects = (HUGGINGFACE, MODELSCOPE) if torture else (None,)
        drawn = [(lie, dialect, n) for lie in TABLE for dialect in dialects for n in range(3 if torture else 1)]
        names = [f"{lie.row} {lie.name}" + (f" - {d.path}{n}" if d else "") for lie, d, n in drawn]
        metafunc.parametrize(("lie", "dialect"), [pair[:2] for pair in drawn], ids=names)


@pytest.mark.sampled(6)
def test_a_listing_that_must_not_be_followed(world: World, lie: Lie, dialect: Dialect | None) -> None:
    dialect = dialect or world.random.choice([HUGGINGFACE, MODELSCOPE])
    name, words, face = NAME, [*lie.words], "hub"
    if dialect is MODELSCOPE:
        face = "modelscope"
        name, words = f"ms://{NAME}", [*words, "--mirror", f"modelscope+{world.hub.modelscope(face).url}"]
    world.hub.fault(fault(lie, dialect, world.random), face=face)
    done = world.pull(*words, *world.random.choice([(), ("--local-dir", str(world.machine.work / "out"))]), name=name)
    world.ended(done, lie.code)
    world.check_nothing_placed()
    assert world.peak_kib < MEMORY_KIB
    # The same in words for people, who are shown what the listing held.
    world.check_words(world.machine.run("plan", "--root", world.machine.root, name, *words).ended(lie.code))


# -- 36: policy


@pytest.mark.variants("name", ["pytorch_model.bin", "sub/x.pkl", "a.PT", "x.ckpt", "deep/er/y.joblib", "z.pth"])
def test_36_pickles_under_safe_only(world: World, name: str) -> None:
    world.repo = Repo("model", NAME, {"config.json": b"{}", name: b"\x80\x04."})
    world.ended(world.pull("--safe-only"), 80, name)
    world.check_nothing_placed()


# -- 37, 38: https

WRONG_NAME = "DNS:elsewhere.test"


@pytest.fixture
def secure(world: World, tmp_path: Path) -> World:
    """The world with a certificate that the machine's command trusts."""
    certificate, key = make_certificate(tmp_path)
    world.tls = server_context(certificate, key)
    world.env = {"REQUESTS_CA_BUNDLE": str(certificate)}
    return world


@pytest.mark.variants("where", ["listing", "big", "small"])
def test_37_a_root_that_redirects_from_https_to_http(secure: World, where: str) -> None:
    big, small = "model-1.safetensors", secure.random.choice(["tokenizer.json", "sub/small.bin"])
    path = {"listing": f"/api/models/{NAME}/*", "big": big, "small": small}[where]
    secure.repo = Repo(
        "model", NAME, {name: data for name, data in files().items() if name == path or where == "listing"}
    )
    plain = secure.hub.mirror("plain")
    secure.hub.fault(Fault("redirect", path, location=f"{plain.url}/elsewhere"))
    secure.ended(secure.pull(), 81, secure.host)
    secure.check_nothing_placed()
    assert secure.hub.log.requests(face="plain") == [], "the redirect was followed"


def test_37_a_mirror_that_redirects_from_https_to_http(world: World, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    mirror = world.hub.mirror("safe", tls=server_context(certificate, key))
    plain = world.hub.mirror("plain")
    world.hub.fault(Fault("redirect", "*", location=f"{plain.url}/elsewhere"), face="safe")
    world.env = {"REQUESTS_CA_BUNDLE": str(certificate)}
    done = world.ended(world.pull("--mirror", mirror.url), 0)
    assert mirror.url.removeprefix("https://") in [warning["mirror"] for warning in done.document["warnings"]]
    assert world.hub.log.requests(face="plain") == [], "the redirect was followed"


@pytest.mark.variants("what", ["unknown", "of another name", "unknown and of another name"])
def test_38_a_root_with_a_bad_certificate(world: World, tmp_path: Path, what: str) -> None:
    names, is_known = WRONG_NAME if "name" in what else LOOPBACK, "unknown" not in what
    certificate, key = make_certificate(tmp_path, names=names)
    world.tls = server_context(certificate, key)
    world.env = {"REQUESTS_CA_BUNDLE": str(certificate)} if is_known else {}
    world.ended(world.pull(), 81, world.host)
    world.check_nothing_placed()
    assert world.hub.log.requests() == [], "a request was sent to a server that could not prove who it is"


def test_38_a_mirror_with_a_bad_certificate(world: World, tmp_path: Path) -> None:
    names = world.random.choice([LOOPBACK, WRONG_NAME])
    mirror = world.hub.mirror("bad", tls=server_context(*make_certificate(tmp_path, names=names)))
    done = world.ended(world.pull("--mirror", mirror.url), 0)
    assert mirror.url.removeprefix("https://") in [warning["mirror"] for warning in done.document["warnings"]]
    assert world.hub.log.requests(face="bad") == []


@pytest.mark.variants("size", ["big", "small"])
def test_38_a_cdn_with_a_bad_certificate(world: World, tmp_path: Path, size: str) -> None:
    path = {"big": "model-1.safetensors", "small": "sub/small.bin"}[size]
    bad = world.hub.mirror("bad", tls=server_context(*make_certificate(tmp_path)))
    location = f"{bad.url}/{NAME}/resolve/{world.repo.head}/{path}"
    world.hub.fault(Fault("redirect", path, location=location))
    world.ended(world.pull(), 81, path)
    assert world.hub.log.requests(face="bad") == []


# -- 42: who may read


@pytest.mark.variants("where", ["listing", "bytes"])
def test_42_a_gated_repo(world: World, where: str) -> None:
    # The fixture asserts at its end that no face but the hub's saw the token.
    words = world.add_mirrors("near", "far")
    world.repo.gated = "manual"
    if where == "listing":
        world.repo.private = True
        world.hub.fault(Fault("headers", "/api/*", headers={"X-Error-Code": "GatedRepo"}))
    token = world.random.choice([world.machine.token, None])
    world.ended(world.pull(*words, env={"HF_TOKEN": token}), 77, NAME)
    world.check_nothing_placed()
