"""References between units."""

import pytest

from omctl.installing.options import Options
from omctl.installing.units import WORKER_UNITS, render_unit

TARGET = "om-workers.target"


@pytest.mark.parametrize(
    "name", [name for name in WORKER_UNITS if f"WantedBy={TARGET}" in render_unit(name, Options())]
)
def test_what_the_workers_target_starts_is_stopped_with_it(name):
    assert f"PartOf={TARGET}" in render_unit(name, Options()).splitlines()
