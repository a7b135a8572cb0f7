"""The page of the faults and the suite are about the same faults."""

import re
from types import SimpleNamespace

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.plugin import pytest_configure
from tests.figures.certificate import ROOT

PAGE = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
NUMBERS = {fault.number for fault in FAULTS}


def test_the_table_of_the_faults_has_a_row_for_each():
    table = PAGE.partition("## The faults")[2].partition("\n## ")[0]
    assert sorted(map(int, re.findall(r"^\| (\d+) \|", table, re.MULTILINE))) == sorted(NUMBERS)


@pytest.mark.parametrize(("kind", "asked"), [("fault", [6, 99]), ("defect", ["nothing is amiss"])])
def test_what_there_is_not_is_refused_by_name(kind, asked):
    config = SimpleNamespace(getoption=lambda name: asked if name == kind else None)
    with pytest.raises(pytest.UsageError, match=str(asked[-1])):
        pytest_configure(config)
