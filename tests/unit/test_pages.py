"""Links of the pages lead somewhere, and the index of decisions has each of them once."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def anchors_of(page):
    """Return the anchors that GitHub gives the headings of a page."""
    headings = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there(page):
    astray = []
    for path, anchor in LINK.findall(FENCED.sub("", page.read_text())):
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            astray.append(f"{path}#{anchor}")

    assert astray == []


def test_the_index_of_decisions_has_each_of_them_once_under_its_title():
    directory = ROOT / "docs" / "decisions"
    index = (directory / "README.md").read_text()
    titles = {
        path.name: path.read_text().split("\n")[0].removeprefix("# ") for path in directory.glob("[0-9]*.md")
    }

    listed = re.findall(r"^\* \[(.+)\]\((.+)\)$", index, re.MULTILINE)

    assert sorted(listed) == sorted((title, name) for name, title in titles.items())
