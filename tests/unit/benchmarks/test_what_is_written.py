"""Only whole runs are written into the file that pages quote."""

import json
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks.plan import FULL, QUICK
from tests.benchmarks.results import Results


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command with nothing measured; return what it said, and what it wrote, None for no file."""

    @contextmanager
    def running_rig(plan, _directory, _seed):
        yield SimpleNamespace(plan=plan, results=Results(), certificate={}, say=lambda _: None)

    monkeypatch.setattr(benchmarks, "running_rig", running_rig)
    monkeypatch.setattr(benchmarks, "measure", lambda _rig, _name: None)
    monkeypatch.setattr(benchmarks, "record", lambda *_, **_values: None)
    path = tmp_path / "results.json"

    def run(*options):
        result = CliRunner().invoke(benchmarks.main, ["--json", str(path), *options], catch_exceptions=False)
        assert result.exit_code == 0
        return result.output, json.loads(path.read_text()) if path.exists() else None

    return run


def test_a_whole_run_is_written_with_its_rounds_and_rows(run):
    output, document = run()
    assert "No file is written" not in output
    assert document["plan"]["rounds"] == FULL.rounds
    assert document["plan"]["table_rows"] == list(FULL.table_rows)


@pytest.mark.parametrize(
    "options", [("--rounds", "2"), ("--rows", "5000000"), ("--quick",), ("--only", "deliver")], ids=" ".join
)
def test_a_part_of_a_run_is_written_nowhere_and_says_so(run, options):
    output, document = run(*options)
    assert document is None
    assert "No file is written: pages quote whole runs, of at least 3 rounds" in output


def test_more_than_a_whole_run_is_whole():
    assert replace(FULL, rounds=FULL.rounds + 2, table_rows=(*FULL.table_rows, 50_000_000)).is_whole
    assert not replace(QUICK, rounds=FULL.rounds, table_rows=FULL.table_rows).is_whole
