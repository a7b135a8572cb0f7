"""A suite's recorded result is evidence only if the suite succeeded on the current code."""

import re
import subprocess

import pytest

from tests.figures import Checkout, evidence
from tests.figures.certificate import ROOT

CODE = ("workers",)


@pytest.fixture
def checkout(tmp_path):
    """A project under git with one product file."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "docs").mkdir()
    change(tmp_path, "workers/a.py", "def one(): return 1")
    return tmp_path


def git(root, *arguments):
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.invalid")
    command = ["git", "-C", root, *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def change(root, path, text):
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text(text)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", path)


def judge(root, **changes):
    entry = evidence.read(root)["chaos"] | changes
    return evidence.judge(entry, Checkout(root), CODE)


def test_a_result_is_current_until_the_code_that_it_covers_changes(checkout):
    evidence.record("chaos", "chaos: lost=0", passed=True, root=checkout)
    assert judge(checkout) == evidence.CURRENT
    change(checkout, "docs/page.md", "changed")
    assert judge(checkout) == evidence.CURRENT
    change(checkout, "workers/a.py", '"""Words."""\n\n\ndef one():\n    return 1  # Words.\n')
    assert judge(checkout) == evidence.CURRENT
    change(checkout, "workers/a.py", "def one(): return 2")
    assert judge(checkout) == "older than the code"


@pytest.mark.parametrize("path", ["workers/b.py", "workers/page.html"])
def test_a_new_file_counts_as_changed_code(checkout, path):
    evidence.record("chaos", "chaos: lost=0", passed=True, root=checkout)
    change(checkout, path, "new")
    assert judge(checkout) == "older than the code"


def test_a_result_of_another_branch_or_of_uncommitted_code_is_not_evidence(checkout):
    git(checkout, "checkout", "--quiet", "-b", "aside")
    change(checkout, "workers/a.py", "def one(): return 2")
    evidence.record("chaos", "chaos: lost=0", passed=True, root=checkout)
    git(checkout, "checkout", "--quiet", "-")
    assert judge(checkout) == "of another line of development"
    (checkout / "docs" / "page.md").write_text("changed")
    evidence.record("chaos", "chaos: lost=0", passed=True, root=checkout)
    assert judge(checkout) == evidence.CURRENT
    (checkout / "workers" / "a.py").write_text("def one(): return 3")
    evidence.record("chaos", "chaos: lost=0", passed=True, root=checkout)
    assert judge(checkout) == "of uncommitted changes"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"passed": False}, "failed"),
        ({"commit": "0" * 40}, "of an unknown commit"),
    ],
)
def test_a_failed_or_unknown_result_is_not_evidence(checkout, changes, verdict):
    evidence.record("chaos", "chaos: lost=0", passed=True, root=checkout)
    assert judge(checkout, **changes) == verdict


def test_the_command_fails_if_a_suite_never_ran(checkout, capsys):
    for suite in list(evidence.SUITES)[1:]:
        evidence.record(suite, f"{suite}: lost=0", passed=True, root=checkout)
    assert evidence.main(checkout) == 1
    assert capsys.readouterr().out.startswith("chaos           missing\n")
    evidence.record("chaos", "chaos: lost=0", passed=True, root=checkout)
    assert evidence.main(checkout) == 0


def test_every_suite_has_a_make_command_and_covers_existing_paths():
    commands = (ROOT / "Makefile").read_text()
    for suite, paths in evidence.SUITES.items():
        assert f"\n{suite}: install" in commands
        assert all((ROOT / path).exists() for path in paths), suite


def test_each_name_that_test_nightly_selects_belongs_to_a_test():
    [(folders, selection)] = re.findall(
        r'--timeout 0 ((?:tests/\S+ )+)-k "([^"]+)"', (ROOT / "Makefile").read_text()
    )
    files = [path for folder in folders.split() for path in (ROOT / folder).rglob("test_*.py")]
    names = re.findall(r"def (test_\w+)", "".join(path.read_text() for path in files))
    chosen = selection.split(" or ")
    assert [part for part in chosen if not any(part in name for name in names)] == []
