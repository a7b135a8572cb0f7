"""Run every fault: `make chaos`. Because of this file's name, `make test` does not collect it."""

import pytest

from tests.chaos.plugin import carry_out, plan, stands

__all__ = ["plan", "stands"]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]


def test_no_event_is_lost_or_repeated_during_a_fault(stands, fault, kind, plan, record_property):
    result = carry_out(stands, fault, kind, plan, record_property)
    assert result.is_good, result
