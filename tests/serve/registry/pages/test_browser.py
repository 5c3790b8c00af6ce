"""The registry's pages in a real Chromium, over a real docker-registry: what they show to whom, and when."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from orchestrator.rights import Role
from tests.serve.pages.browser import Page, browser
from tests.serve.registry.house import RegistryHouse, registry_house

MODEL, SECRET = "team/model", "other/secret"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = b"---\nlicense: mit\nbase_model: org/base\n---\n# A model\n"
FIRST = {"config.json": b'{"a": 1, "rope": {"factor": 2}}', "model.safetensors": b"w" * 5_000, "README.md": CARD}
SECOND = FIRST | {"config.json": b'{"a": 1, "rope": {"factor": 4}, "b": "new"}', "tokenizer.json": b"{}"}

MARKUP = "<img src=x onerror=document.title=1>"
SCRIPT = "<script>document.title=1</script>"
TURNED, ARABIC, EMOJI, LONG = "abc\u202egpj.exe", "نموذج عربي", "🦙", "x" * 600
HOSTILE = {
    f"{MARKUP}.json": b"1",
    f"{ARABIC}.json": b"3",
    f"{EMOJI}.json": b"4",
    f"{'deep/' * 40}{'n' * 200}.json": b"5",
    "config.json": json.dumps({MARKUP: SCRIPT, TURNED: LONG, ARABIC: [EMOJI] * 300}).encode(),
}
NOTHING = "\N{EN DASH}"
PERSON = f"{MARKUP}{TURNED}{ARABIC}{EMOJI}{LONG}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryHouse]:
    """A registry with a model of two versions, one that is hostile, and one of another namespace."""
    words = ("--trusted-proxy", "127.0.0.1")
    with registry_house(tmp_path_factory.mktemp("pages"), *words, env={"GLM_ARIA_SERVE_GROUPS": "ml=admin"}) as house:
        house.person("alice", "--role", "admin")
        house.person("rob", "--role", "reader", "--namespace", "team")
        origin = {
            "org.opencontainers.image.source": "https://huggingface.co/org/base",
            "org.opencontainers.image.revision": COMMIT,
        }
        house.publish("alice", MODEL, "1.0.0", FIRST, origin)
        house.publish("alice", MODEL, "1.1.0", SECOND)
        move(house, "alice", "prod", "1.0.0")
        house.publish("alice", SECRET, "1.0.0", FIRST)
        house.publish("alice", "team/hostile", "1.0.0", {"config.json": b"{}"})
        house.publish("alice", "team/hostile", "2.0.0", HOSTILE, {"org.opencontainers.image.source": f"x://{PERSON}"})
        yield house


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def page(tab: Page) -> Page:
    """A reader's browser that nobody has logged in."""
    tab.call("Page.navigate", url="about:blank")
    tab.call("Network.clearBrowserCookies")
    tab.requests.clear()
    tab.problems.clear()
    tab.resize(1280, 1000)
    tab.prefer("light")
    return tab


def move(house: RegistryHouse, who: str, alias: str, version: str, **headers: str) -> None:
    """Move an alias from whatever it stands for."""
    present = house.call("alice", "GET", f"/{MODEL}/aliases/{alias}").tag
    condition = {"If_Match": present} if present else {"If_None_Match": "*"}
    answer = house.call(who, "PUT", f"/{MODEL}/aliases/{alias}", {"version": version}, **condition, **headers)
    assert answer.status == 200, answer


def log_in(page: Page, house: RegistryHouse, who: str, path: str = "/-/registry") -> None:
    """Enter a token where the browser is asked for one."""
    page.open(f"{house.server.url}{path}")
    page.value(f"document.getElementById('token').value = {json.dumps(house.tokens[who])}")
    page.value("document.querySelector('form button').click()")
    page.wait("document.getElementById('state')?.className === 'live'")
    page.problems.clear()  # a page that needs a token is an error to the browser


def look(page: Page, house: RegistryHouse, path: str, query: str = "") -> None:
    page.open(f"{house.server.url}/-/registry{path}{query}")
    page.wait("document.getElementById('state').className === 'live'")


def rows(page: Page, section: str) -> list[list[str]]:
    found = f"document.querySelectorAll('#{section} tbody tr')"
    return list(page.value(f"[...{found}].map(row => [...row.cells].map(cell => cell.innerText.trim()))"))


def test_a_team_sees_its_models_and_who_moved_what_as_it_happens(page: Page, house: RegistryHouse) -> None:
    log_in(page, house, "alice")
    assert {row[0] for row in rows(page, "models")} == {MODEL, SECRET, "team/hostile"}
    (row,) = [row for row in rows(page, "models") if row[0] == MODEL]
    assert row[:4] == [MODEL, "prod 1.0.0", "1.1.0", "2"]
    assert ["alice", f"moved {MODEL} prod {NOTHING} → 1.0.0"] in [[one[1], one[2]] for one in rows(page, "trail")]

    look(page, house, f"/{MODEL}")
    assert rows(page, "aliases")[0][:2] == ["prod", "1.0.0"]
    newest, oldest = rows(page, "versions")
    assert (newest[0], newest[3:5], newest[6]) == ("1.1.0", ["alice", "none"], "1.0.0")
    assert oldest[0] == "1.0.0 prod"
    assert oldest[5] == f"huggingface.co/org/base @ {COMMIT[:12]}\nbase: org/base"
    # An open page learns of a move by itself.
    move(house, "alice", "prod", "1.1.0")
    page.wait("document.querySelector('#aliases td:nth-child(2)').innerText === '1.1.0'")
    page.wait("document.querySelector('#trail tbody tr').innerText.includes('1.0.0 → 1.1.0')")
    assert rows(page, "versions")[0][0] == "1.1.0 prod"
    move(house, "alice", "canary", "1.0.0")
    page.wait("document.querySelectorAll('#aliases tbody tr').length === 2")
    page.value("document.querySelector('#aliases tbody tr:last-child a').click()")  # prod
    page.wait("location.search.includes('name=prod') && document.getElementById('state').className === 'live'")
    assert [row[2] for row in rows(page, "trail")] == ["moved prod 1.0.0 → 1.1.0", f"moved prod {NOTHING} → 1.0.0"]
    assert page.problems == []
    assert all(address.startswith(house.server.url) for address in page.requests)


def test_two_versions_are_compared(page: Page, house: RegistryHouse) -> None:
    log_in(page, house, "rob")
    look(page, house, f"/{MODEL}")
    page.value("document.getElementById('from').value = '1.0.0'; document.getElementById('to').value = '1.1.0'")
    page.value("document.querySelector('#compare button').click()")
    page.wait("document.getElementById('difference') && document.getElementById('state').className === 'live'")
    files, keys = (
        page.value(f"[...document.querySelectorAll('#difference table')][{n}].tBodies[0].innerText") for n in (0, 1)
    )
    assert files.split() == [
        "config.json",
        "changed",
        "31",
        "B",
        "43",
        "B",
        "tokenizer.json",
        "added",
        NOTHING,
        "2",
        "B",
    ]
    assert keys.split() == ["b", NOTHING, '"new"', "rope.factor", "2", "4"]
    assert page.problems == []


def test_names_from_outside_are_text_of_a_bounded_length(page: Page, house: RegistryHouse) -> None:
    person = f"{MARKUP}{ARABIC}{EMOJI}{LONG}"[:128]  # a longer name is nobody's, nor one that turns text around
    token = ".".join(("e30", _part({"preferred_username": person, "groups": ["ml"]}), "x"))
    digest = house.call("alice", "GET", "/team/hostile/resolve?range=2.0.0").tag
    moved = house.ask(
        "",
        "PUT",
        "/registry/v1/team/hostile/aliases/prod",
        {"version": "2.0.0"},
        If_None_Match="*",
        X_Forwarded_Access_Token=token,
    )
    assert (moved.status, moved.tag) == (200, digest)
    log_in(page, house, "alice")
    look(page, house, "/team/hostile")
    text = page.value("document.body.innerText")
    assert f"user:{MARKUP}" in text
    assert max(map(len, text.split("\n"))) < 900
    for path in ("/team/hostile", "/team/hostile/diff?from=1.0.0&to=2.0.0", ""):
        for width in (1280, 360):
            page.resize(width, 800)
            look(page, house, path)
            assert page.value("document.documentElement.scrollWidth") == width
            assert page.value("document.querySelectorAll('main img, main script, main b').length") == 0
            assert "\u202e" not in page.value("document.documentElement.outerHTML")
            assert page.value("document.title") != "1"
    look(page, house, "/team/hostile/diff", "?from=1.0.0&to=2.0.0")
    shown = page.texts("#difference td:first-child bdi")
    assert {f"{MARKUP}.json", f"{ARABIC}.json", MARKUP, "abc\\u202egpj.exe"} <= set(shown)
    # What the reader types comes back as text, too.
    look(page, house, "/team/model", f"?name={quote(MARKUP + TURNED + LONG)}&lang=%3Cb%3E")
    assert page.value("document.querySelectorAll('main img, main b').length") == 0
    assert page.value("document.documentElement.scrollWidth") == 360
    assert "\u202e" not in page.value("document.body.innerText")
    assert page.problems == []


def test_whose_rights_end_at_a_team_sees_that_alone(page: Page, house: RegistryHouse) -> None:
    log_in(page, house, "rob", "/")  # which brings him to the registry
    assert page.value("location.pathname") == "/-/registry"
    assert [row[0] for row in rows(page, "models")] == ["team/hostile", MODEL]
    assert SECRET not in page.value("document.documentElement.outerHTML")
    for path in (f"/{SECRET}", f"/{SECRET}/diff?from=1.0.0&to=1.0.0"):
        page.open(f"{house.server.url}/-/registry{path}")
        assert page.texts("[role=alert]") == [f"'rob' ({Role.READER}) may not read {SECRET}"]
        assert page.texts("section table") == []
    # The page of the server itself is not for him.
    page.open(f"{house.server.url}/")
    assert page.texts("#token") != []


def test_each_asks_with_the_rights_of_the_calls(house: RegistryHouse) -> None:
    def asked(who: str, path: str, **headers: str) -> tuple[int, Any]:
        found = house.ask(who, "GET", f"/-/registry{path}", **headers)
        return found.status, found.value.decode()

    for path in ("", f"/{MODEL}", f"/{SECRET}", f"/{SECRET}/diff?from=1.0.0&to=1.0.0", "/team/none"):
        status, text = asked("", path)
        assert status == 401
        assert 'name="token"' in text
        assert "1.0.0" not in text
    assert asked("", "/events")[0] == 401
    assert asked("rob", f"/events?model={SECRET}")[0] == 403
    assert house.call("rob", "GET", f"/{SECRET}/events", Accept="text/event-stream").status == 403
    assert [asked("rob", f"/{name}")[0] for name in (MODEL, SECRET, "other/none", "team/none", "UP/x", "a/b/c")] == [
        *(200, 403, 403, 404, 404, 404)
    ]
    assert asked("rob", f"/{MODEL}/diff?from=1.0.0&to=9.9.9")[0] == 404
    assert asked("rob", f"/{MODEL}?before=x")[0] == 400
    assert "site" in asked("alice", "", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[1]
    assert house.ask("alice", "POST", "/-/registry").status == 405


@pytest.mark.parametrize(("lang", "scheme"), [("en", "dark"), ("zh", "light")])
def test_it_fits_a_phone_the_dark_and_both_languages(page: Page, house: RegistryHouse, lang: str, scheme: str) -> None:
    page.prefer(scheme, lang)
    log_in(page, house, "alice")
    assert page.value("document.documentElement.lang") == lang
    assert page.texts("#state") == [{"en": "live", "zh": "实时"}[lang]]
    page.resize(360, 740)
    for path in ("", f"/{MODEL}", f"/{MODEL}/diff?from=1.0.0&to=1.1.0"):
        look(page, house, path)
        assert page.value("document.documentElement.scrollWidth") == 360
        paper = page.value("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(20, 23, 26)") == (scheme == "dark")
        tree = page.call("Accessibility.getFullAXTree")["nodes"]
        named = [(node["role"]["value"], node.get("name", {}).get("value")) for node in tree if not node["ignored"]]
        assert all(name for role, name in named if role in ("link", "heading", "table", "combobox", "searchbox"))
    # Another language keeps what was asked for.
    page.value("document.querySelector('nav.languages a').click()")
    page.wait(f"document.documentElement.lang !== '{lang}' && document.getElementById('state').className === 'live'")
    assert page.value("location.search").startswith("?from=1.0.0&to=1.1.0&lang=")
    assert page.problems == []


def _part(claims: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
