"""Let every fault strike: `make chaos`. The name keeps `make test` from collecting it."""

import pytest

from tests.chaos.plugin import carry_out, plan, stands

__all__ = ["plan", "stands"]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]


def test_nothing_is_lost_and_nothing_repeated(stands, fault, kind, plan, record_property):
    result = carry_out(stands, fault, kind, plan, record_property)
    assert result.is_good, result
