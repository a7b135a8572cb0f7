"""How omctl check judges the clocks of hosts."""

import pytest

from omctl.check.database import clock_finding
from omctl.check.finding import Level


@pytest.mark.parametrize(
    ("ahead", "level", "text"),
    [
        (0.0, Level.OK, "0.0 s behind the database's"),
        (2.0, Level.OK, "2.0 s ahead of the database's"),
        (-1.9, Level.OK, "1.9 s behind the database's"),
        (2.1, Level.PROBLEM, "2.1 s ahead of the database's"),
        (-3600.0, Level.PROBLEM, "3600.0 s behind the database's"),
    ],
)
def test_a_clock_more_than_two_seconds_from_the_database_s_is_a_problem(ahead, level, text):
    finding = clock_finding("a.example", ahead)

    assert (finding.level, finding.text) == (level, text)
    assert ("NTP" in finding.advice) == (level is Level.PROBLEM)
