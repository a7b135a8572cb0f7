"""Pages link to existing files, name existing tests, and are complete."""

import re
from pathlib import Path

import pytest

from docs import site_links
from omctl.__main__ import omctl
from tests.chaos.faults import FAULTS
from workers.db.models import metadata

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
def test_every_link_of_a_page_leads_to_an_existing_file_and_heading(page):
    astray = []
    for path, anchor in LINK.findall(FENCED.sub("", page.read_text())):
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            astray.append(f"{path}#{anchor}")
    assert astray == []


def test_every_diagram_has_a_drawing_and_every_drawing_a_diagram():
    sources = [source for path in PAGES for source in site_links.DIAGRAM.findall(path.read_text())]
    drawings = {path.name for path in (ROOT / "docs" / "diagrams").iterdir()}
    assert {site_links.drawing_name(source) for source in sources} == drawings, "run make diagrams"


def test_the_index_of_decisions_lists_each_decision_once_with_its_title():
    directory = ROOT / "docs" / "decisions"
    index = (directory / "README.md").read_text()
    titles = {
        path.name: path.read_text().split("\n")[0].removeprefix("# ") for path in directory.glob("[0-9]*.md")
    }
    listed = re.findall(r"^\* \[(.+)\]\((.+)\)$", index, re.MULTILINE)
    assert sorted(listed) == sorted((title, name) for name, title in titles.items())


SECTIONS_OF_THE_GUIDE = [
    "Prerequisites, roles and licensing",
    "1. Architecting the webhook listener and payload ingestion path",
    "2. Registering the webhook and configuring event filters",
    "3. Implementing idempotent processing and state management",
    "Validation, edge cases and troubleshooting",
    "Edge case 1: race conditions during conversation handoff",
    "Edge case 2: webhook timeout and processing latency mismatch",
    "Edge case 3: payload schema drift during platform updates",
]


@pytest.mark.parametrize("page", ["guarantees.md", "guide.md"])
def test_every_test_that_a_page_links_exists(page):
    named = re.findall(r"\[(test_\w+\.py)::(\w+)\]\(\.\./([^)]+)\)", (ROOT / "docs" / page).read_text())
    missing = [
        (path, name)
        for label, name, path in named
        if not path.endswith(f"/{label}") or f"def {name}(" not in (ROOT / path).read_text()
    ]
    assert len(named) > 20
    assert missing == []


def test_every_guarantee_has_a_test_or_a_fault():
    rows = re.findall(
        r"^\| (\d\.\d+) \|.* \| (.+) \|$", (ROOT / "docs/guarantees.md").read_text(), re.MULTILINE
    )
    faults = (ROOT / "docs/faults.md").read_text()
    unknown = [
        fault
        for _, shown_by in rows
        for fault in re.findall(r"\d+", " ".join(re.findall(r"faults? ([\d, \u2013]+)", shown_by)))
        if f"\n| {fault} | " not in faults
    ]
    assert [number for number, shown_by in rows if not re.search(r"\.py\)|faults? \d|`make", shown_by)] == []
    assert {number.split(".")[0] for number, _ in rows} == set("1234567")
    assert unknown == []


def test_the_page_about_the_guide_has_all_sections_of_the_guide():
    page = (ROOT / "docs/guide.md").read_text()
    sections = re.split(r"^##+ ", page, flags=re.MULTILINE)
    titles = {section.partition("\n")[0]: section for section in sections}
    assert set(SECTIONS_OF_THE_GUIDE) <= titles.keys()
    for title in SECTIONS_OF_THE_GUIDE:
        if not title.startswith("Validation"):
            assert "| the guide asks for |" in titles[title], title


def test_the_page_about_faults_has_a_row_for_each_fault():
    table = (ROOT / "docs/faults.md").read_text().partition("## The faults")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \|", table, re.MULTILINE)
    assert sorted(map(int, rows)) == sorted({fault.number for fault in FAULTS})


def test_every_folder_and_module_of_the_architecture_exists():
    named = re.findall(r"`([\w/]+(?:/|\.py))`", (ROOT / "docs/architecture.md").read_text())
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_table_of_the_architecture_exists():
    diagram = (ROOT / "docs/architecture.md").read_text().partition("erDiagram")[2].partition("```")[0]
    named = set(re.findall(r"^ +(\w+) \S+ (\w+) :", diagram, re.MULTILINE))
    assert {table for pair in named for table in pair} - set(metadata.tables) == set()


def test_every_log_event_in_the_operations_page_is_logged():
    page = (ROOT / "docs/operations.md").read_text()
    table = page.partition("## Log lines that need attention")[2].partition("\n## ")[0]
    named = {
        event
        for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        for event in re.findall(r"`(\w+)`", row)
    }
    code = "".join(
        path.read_text()
        for package in ("messaging", "webhook_api", "workers")
        for path in (ROOT / package).rglob("*.py")
    )
    assert len(named) > 40
    assert {event for event in named if f'"{event}"' not in code} == set()


def test_every_command_of_omctl_has_a_section():
    headings = re.findall(r"^### (.+)$", (ROOT / "docs/omctl.md").read_text(), re.MULTILINE)
    described = {name for heading in headings for name in re.findall(r"omctl ([\w-]+)", heading)}
    assert described == set(omctl.list_commands(None))


def commands_of(text):
    """Yield (command, options) for each call of omctl in a page's code."""
    for code in re.findall(r"`omctl [^`]+`|^.*\bomctl [a-z].*$", text, re.MULTILINE):
        for call in re.findall(r"\bomctl ([a-z][a-z-]*(?: [a-z][a-z-]*)?)([^`;&|#]*)", code):
            words, rest = call[0].split(), call[1]
            command = omctl.get_command(None, words[0])
            if command and len(words) > 1 and hasattr(command, "commands"):
                command = command.commands.get(words[1])
            yield " ".join(words), command, re.findall(r"(?<![\w-])--[a-z-]+", rest)


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_of_a_page_exists(page):
    wrong = []
    for words, command, options in commands_of(page.read_text()):
        known = {
            name
            for parameter in (command.params if command else ())
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        wrong += [f"{words} {option}" for option in options if option not in known | {"--help"}]
    assert wrong == []
