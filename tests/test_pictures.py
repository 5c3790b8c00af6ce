"""scripts/pictures: the terminals of the documents show what the commands print today."""

from pathlib import Path

import pytest

from scripts.picturelib.commands import MODEL, TERMINALS
from scripts.picturelib.terminal import Recording, draw, outline, record, shown_in, write

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


def test_a_plan_prints_what_its_picture_shows(tmp_path: Path) -> None:
    made = draw(TERMINALS["plan"](tmp_path / "plan"), "glm-aria")
    assert outline(shown_in(made)) == outline(shown_in((PICTURES / "plan.svg").read_text("utf-8")))


@pytest.mark.parametrize("name", TERMINALS)
def test_a_picture_needs_nothing_from_elsewhere(name: str) -> None:
    text = (PICTURES / f"{name}.svg").read_text("utf-8")
    assert text.count("http") == text.count('xmlns="http://www.w3.org/2000/svg"')
    assert MODEL in shown_in(text)


def test_figures_alone_make_no_new_picture(tmp_path: Path) -> None:
    file = tmp_path / "x.svg"
    assert write(file, draw([recording("fetched 10 MB in 1.5 s (6.7 MB/s) ━━━━╸━━\n")], "x"))
    first = file.read_bytes()
    assert not write(file, draw([recording("fetched 10.1 MB in 987 ms (12 MB/s) ━╸━━━━━━\n")], "x"))
    assert file.read_bytes() == first
    assert write(file, draw([recording("fetched 10 MB and lost 2 files\n")], "x"))


def test_colours_and_names_reach_the_picture(tmp_path: Path) -> None:
    words = ["sh", "-c", "printf '\\033[1;31mred\\033[0m <a>& at 127.0.0.1:4711\\n'; tty"]
    seen = record("try", words, {"PATH": "/usr/bin:/bin"}, tmp_path, names={"127.0.0.1:4711": "hub.lan"})
    assert seen.text().splitlines()[:2] == ["$ try", "red <a>& at hub.lan"]
    assert "/dev/pts/" in seen.text()
    made = draw([seen], "x")
    assert shown_in(made) == seen.text()
    assert "font-weight: bold" in made


def recording(text: str) -> Recording:
    made = Recording()
    made.write(text.replace("\n", "\r\n").encode())
    return made
