"""Run every fault: `make chaos`. The name keeps `make test` from collecting this file."""

import pytest

from tests.chaos.plugin import carry_out, plan, stands

__all__ = ["plan", "stands"]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]


def test_a_fault_loses_and_repeats_no_event(stands, fault, kind, plan, record_property):
    result = carry_out(stands, fault, kind, plan, record_property)
    assert result.is_good, result
