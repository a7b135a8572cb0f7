"""Pages quote figures of the code that they stand beside, or say that they do not."""

import json
import subprocess

import pytest

from tests.figures.certificate import certificate
from tests.figures.checkout import Checkout
from tests.figures.pages import FILES, filled_page
from tests.figures.quotes import QuoteError

PAGE = """\
Figures <!-- measured: performance --><!-- /measured -->.
It is <!-- figure: {performance.ratio:.2f} -->9.99<!-- /figure --> times as fast.
"""


class Repository:
    """A small project under git, with a product and a page."""

    def __init__(self, root):
        self.root = root
        (root / "webhook_api").mkdir()
        (root / "docs" / "performance").mkdir(parents=True)
        self.git("init", "--quiet")
        self.git("config", "user.name", "Test")
        self.git("config", "user.email", "test@example.invalid")
        self.commit("webhook_api/app.py", "one")

    def git(self, *arguments):
        subprocess.run(["git", "-C", self.root, *arguments], check=True, capture_output=True)

    def commit(self, path, text):
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", path)

    def measure(self, **figures):
        figures["certificate"] = certificate(
            seed="5a", servers={"RabbitMQ": "4.0.5", "PostgreSQL": "15.8"}, root=self.root
        )
        (self.root / FILES["performance"]).write_text(json.dumps(figures))
        return figures

    def page(self, text=PAGE):
        return filled_page(text, self.root)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def test_a_figure_is_written_as_it_is_on_file(repository):
    repository.measure(ratio=2.5049)
    assert "{performance.ratio:.2f} -->2.50<!--" in repository.page()


def test_a_page_that_was_filled_stays_as_it_is(repository):
    repository.measure(ratio=2.5)
    filled = repository.page()
    assert filled != PAGE
    assert repository.page(filled) == filled


def test_figures_of_the_same_product_are_quoted_with_their_commit_alone(repository):
    commit = repository.measure(ratio=2)["certificate"]["commit"]
    repository.commit("docs/page.md", "changed")
    assert f"measured at `{commit[:10]}`, on " in repository.page()


@pytest.mark.parametrize("path", ["webhook_api/app.py", "simulator/new.py"])
def test_figures_from_before_a_change_of_the_product_say_so(repository, path):
    repository.measure(ratio=2)
    repository.commit(path, "two")
    assert "`, before later changes of the product, on " in repository.page()


def test_a_change_that_is_not_committed_yet_makes_figures_old_too(repository):
    repository.measure(ratio=2)
    (repository.root / "webhook_api/app.py").write_text("two")
    assert "before later changes of the product" in repository.page()


def test_figures_of_another_branch_say_so(repository):
    repository.git("checkout", "--quiet", "-b", "aside")
    repository.commit("webhook_api/app.py", "aside")
    repository.measure(ratio=2)
    repository.git("checkout", "--quiet", "-")
    assert "on another line of development" in repository.page()


def test_figures_of_uncommitted_code_say_so(repository):
    (repository.root / "webhook_api/app.py").write_text("two")
    repository.measure(ratio=2)
    assert "with changes that were not committed" in repository.page()


def test_changed_pages_do_not_make_a_run_dirty(repository):
    (repository.root / "docs/page.md").write_text("changed")
    assert not Checkout(repository.root).is_dirty()


def test_a_commit_that_the_clone_does_not_know_is_refused(repository):
    repository.measure(ratio=2)
    path = repository.root / FILES["performance"]
    path.write_text(path.read_text().replace(Checkout(repository.root).head(), "0" * 40))
    with pytest.raises(
        QuoteError, match=r"docs/performance/results\.json was measured at 0+, .* --unshallow"
    ):
        repository.page()


def test_a_figure_that_is_not_on_file_is_refused(repository):
    repository.measure(another=2)
    with pytest.raises(QuoteError, match=r"\{performance\.ratio:\.2f\}"):
        repository.page()


def test_a_page_tells_when_its_figures_were_measured(repository):
    repository.measure(ratio=2)
    with pytest.raises(QuoteError, match="without a `measured` marker"):
        repository.page(PAGE.splitlines()[1])


def test_a_table_has_a_line_for_each_entry(repository):
    repository.measure(targets={"a": {"title": "A", "must": 0.5}, "b": {"title": "B"}})
    table = "<!-- table: performance.targets | what = {title} | = ≥ {must:g} --><!-- /table -->"
    assert repository.page(f"{table} <!-- measured: performance --><!-- /measured -->").splitlines()[
        1:-1
    ] == [
        "| what |  |",
        "| --- | --- |",
        "| A | ≥ 0.5 |",
        "| B | ≥ \N{EN DASH} |",
    ]


def test_a_line_is_a_block_of_code(repository):
    repository.measure(line="bench: a=1")
    line = (
        "<!-- line: {performance.line} -->old<!-- /line --> <!-- measured: performance --><!-- /measured -->"
    )
    assert "-->\n```\nbench: a=1\n```\n<!-- /line -->" in repository.page(line)


def test_a_marker_that_would_turn_its_line_into_html_is_refused(repository):
    repository.measure(ratio=2)
    with pytest.raises(QuoteError, match="a line begins with a marker"):
        repository.page(PAGE.replace("It is ", ""))


def test_figures_without_a_certificate_are_refused(repository):
    (repository.root / FILES["performance"]).write_text(json.dumps({"ratio": 2}))
    with pytest.raises(QuoteError, match=r"docs/performance/results\.json has no certificate"):
        repository.page()


def test_a_page_may_quote_what_is_not_measured_yet_and_says_so(repository):
    page = "F <!-- measured: chaos --><!-- /measured --> <!-- figure: {chaos.ratio:.2f} -->9<!-- /figure -->"
    filled = repository.page(f"{page}\n<!-- table: chaos.faults | # = {{number}} -->\n<!-- /table -->")
    assert "-->not measured yet<!--" in filled
    assert "-->\N{EN DASH}<!--" in filled
    assert "| # |\n| --- |\n<!-- /table -->" in filled


def test_an_unknown_source_is_refused(repository):
    with pytest.raises(
        QuoteError, match="it quotes perfomance, but figures are of performance, profile, chaos"
    ):
        repository.page(PAGE.replace("{performance", "{perfomance"))
