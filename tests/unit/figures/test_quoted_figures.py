"""Pages quote recorded figures with their commit, and state whether the product has changed since then."""

import json
import subprocess

import pytest

from tests.figures.certificate import certificate
from tests.figures.checkout import Checkout
from tests.figures.pages import FILES, filled_page
from tests.figures.quotes import QuoteError

MEASURED = "<!-- measured: performance --><!-- /measured -->"
FIGURE = "It is <!-- figure: {performance.ratio:.2f} -->9.99<!-- /figure --> times as fast.\n"
PAGE = f"Figures {MEASURED}.\n{FIGURE}"


class Repository:
    """A small project under git, with a product and a page."""

    def __init__(self, root):
        self.root = root
        (root / "docs" / "performance").mkdir(parents=True)
        self.git("init", "--quiet")
        self.git("config", "user.name", "Test")
        self.git("config", "user.email", "test@example.invalid")
        self.commit("webhook_api/app.py", "one")

    def git(self, *arguments):
        subprocess.run(["git", "-C", self.root, *arguments], check=True, capture_output=True)

    def write(self, path, text):
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(text)

    def commit(self, path, text):
        self.write(path, text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", path)

    def measure(self, **figures):
        figures["certificate"] = certificate(seed="5a", servers={"RabbitMQ": "4.0.5"}, root=self.root)
        self.write(FILES["performance"], json.dumps(figures))

    def page(self, text=PAGE):
        return filled_page(text, self.root)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def test_a_page_is_filled_with_the_recorded_figure_and_filling_it_again_changes_nothing(repository):
    repository.measure(ratio=2.5049)
    filled = repository.page()
    assert "{performance.ratio:.2f} -->2.50<!--" in filled
    assert repository.page(filled) == filled


MEASURE = Repository.measure


def _measure_on_another_branch(repository):
    repository.git("checkout", "--quiet", "-b", "aside")
    repository.commit("webhook_api/app.py", "aside")
    repository.measure(ratio=2)
    repository.git("checkout", "--quiet", "-")


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        (MEASURE, lambda it: it.commit("docs/page.md", "changed"), "measured at `{commit}`, on "),
        (MEASURE, lambda it: it.commit("simulator/new.py", "two"), "` (the product has changed since then)"),
        (MEASURE, lambda it: it.write("webhook_api/app.py", "two"), "(the product has changed since then)"),
        (lambda it: it.write("webhook_api/app.py", "two"), MEASURE, "with changes that were not committed"),
        (lambda _it: None, _measure_on_another_branch, "on another line of development"),
    ],
    ids=["changed docs", "changed code", "uncommitted code", "uncommitted measured code", "another branch"],
)
def test_a_page_shows_whether_its_figures_were_measured_on_the_current_product(
    repository, before, after, note
):
    commit = Checkout(repository.root).head()[:10]
    before(repository)
    after(repository)
    path = repository.root / FILES["performance"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ratio": 2}))
    assert note.format(commit=commit) in repository.page()


def test_changed_pages_do_not_make_a_checkout_dirty(repository):
    repository.write("docs/page.md", "changed")
    assert not Checkout(repository.root).is_dirty()


@pytest.mark.parametrize(
    ("changes", "page", "reason"),
    [
        ({"ratio": None}, PAGE, r"\{performance\.ratio:\.2f\}"),
        ({}, FIGURE, "without a `measured` marker"),
        ({}, PAGE.replace("It is ", ""), "a line begins with a marker"),
        ({}, PAGE.replace("{performance", "{perfomance"), "it quotes perfomance, but figures are of"),
        ({"certificate": None}, PAGE, r"docs/performance/results\.json has no certificate"),
        (
            {"certificate": {"commit": "0" * 40}},
            PAGE,
            r"docs/performance/results\.json was measured at 0+, .* --unshallow",
        ),
    ],
    ids=[
        "no figure",
        "no marker",
        "a marker at the line's start",
        "no source",
        "no certificate",
        "no commit",
    ],
)
def test_a_page_that_cannot_be_filled_is_refused(repository, changes, page, reason):
    repository.measure(ratio=2)
    path = repository.root / FILES["performance"]
    figures = json.loads(path.read_text())
    for name, value in changes.items():
        figures[name] = figures[name] | value if isinstance(value, dict) else value
    path.write_text(json.dumps({name: value for name, value in figures.items() if value is not None}))
    with pytest.raises(QuoteError, match=reason):
        repository.page(page)


def test_a_table_has_a_row_for_each_entry_and_a_line_is_shown_as_a_code_block(repository):
    repository.measure(targets={"a": {"title": "A", "must": 0.5}, "b": {"title": "B"}}, line="bench: a=1")
    table = "<!-- table: performance.targets | what = {title} | = ≥ {must:g} --><!-- /table -->"
    line = "<!-- line: {performance.line} -->old<!-- /line -->"
    filled = repository.page(f"{table} {line} {MEASURED}")
    assert "\n| what |  |\n| --- | --- |\n| A | ≥ 0.5 |\n| B | ≥ \N{EN DASH} |\n" in filled
    assert "-->\n```\nbench: a=1\n```\n<!-- /line -->" in filled


def test_a_figure_that_is_not_measured_yet_is_shown_as_a_dash(repository):
    page = "F <!-- measured: chaos --><!-- /measured --> <!-- figure: {chaos.ratio:.2f} -->9<!-- /figure -->"
    filled = repository.page(f"{page}\n<!-- table: chaos.faults | # = {{number}} -->\n<!-- /table -->")
    assert "-->not measured yet<!--" in filled
    assert "-->\N{EN DASH}<!--" in filled
    assert "| # |\n| --- |\n<!-- /table -->" in filled
