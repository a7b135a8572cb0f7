"""Put each defect into a copy of the product, and check that its fault then fails: `make chaos-sabotage`."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.caught import Caught
from tests.chaos.defects import DEFECTS
from tests.chaos.faults import FAULTS
from tests.chaos.plugin import (
    SABOTAGE,
    USUAL,
    VERSIONS,
    Stands,
    name_on,
    plan,
    stands,
    versions_of,
)
from tests.chaos.result import Result
from tests.chaos.run import Plan, run_fault
from tests.chaos.sabotage import Defect, sabotaged_copy
from tests.chaos.stand import Stand
from tests.stand.product import SOURCES

__all__ = ["plan", "stands"]

STILL_SECONDS = 15.0
"""The remaining events count as stuck if none of them is processed for this number of seconds.

The edge looks for the journals of dead processes every five seconds, and the two probes of a proof are five
seconds apart. A stand with destinations retries them only once a minute, so it uses the plan's longer time.
"""

HEALS_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
"""How long a check waits for a condition. This is shorter than usual, because a broken product might never
meet the condition. The intact product first runs with the same limits, to show that they are long enough."""

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]


def test_a_faults_check_fails_on_a_product_with_the_defect(stands, defect, plan, tmp_path, record_property):
    record_property(VERSIONS, versions_of(stands.of(defect.stand)))
    told = {"name": defect.name, "fault": defect.fault, "form": defect.form, "mark": defect.mark}
    intact = intact_result(stands, defect, plan)
    told |= {"caught": False, "intact": intact.outcome}
    if intact.is_good:
        result = broken_result(stands, defect, plan, tmp_path / "product")
        told |= {"caught": defect.is_shown_by(result), "outcome": result.outcome}
    record_property(SABOTAGE, told)
    assert intact.is_good, f"{defect.name}: the intact product fails, too: {intact}"
    assert told["caught"], f"{defect.name}: not {defect.shows}, but: {result}"


def intact_result(stands: Stands, defect: Defect, plan: Plan) -> Result:
    """Run a defect's form on the intact product. If the run fails, keep the stand's logs."""
    try:
        result = result_of(SOURCES, stands, defect, plan)
    except BaseException:
        stands.close(keep=True)
        raise
    if not result.is_good:
        stands.close(keep=True)
    return result


def broken_result(stands: Stands, defect: Defect, plan: Plan, directory: Path) -> Result:
    """Run a defect's form on a copy of the product that has the defect."""
    result = result_of(sabotaged_copy(defect, directory), stands, defect, plan)
    if result.is_broken_off:
        stands.close()
    return result


def result_of(sources: Path, stands: Stands, defect: Defect, plan: Plan) -> Result:
    """Run a defect's form on the product in *sources*, and return the result."""
    stand = stands.of(defect.stand)
    stand.serve(sources)
    return result_on(stand, defect, plan)


def result_on(stand: Stand, defect: Defect, plan: Plan) -> Result:
    """Run a defect's form on a stand, with the shorter time limits for a broken product."""
    fault = next(fault for fault in FAULTS if fault.number == defect.fault)
    forms = tuple(
        replace(form, lasts=defect.lasts or form.lasts, heals=min(form.heals, HEALS_SECONDS))
        for form in fault.forms
        if form.name == defect.form
    )
    assert forms, f"fault {defect.fault} has no form called {defect.form}"
    still = plan.still_seconds if stand.behind else STILL_SECONDS
    short = replace(plan, rounds=1, still_seconds=still, accounts=False, repeated=0.0)
    stand.patience, usual = PATIENCE_SECONDS, stand.patience
    try:
        return run_fault(stand, replace(fault, forms=forms), short)
    finally:
        stand.patience = usual


def pytest_generate_tests(metafunc):
    if "defect" in metafunc.fixturenames:
        only = metafunc.config.getoption("defect")
        caught = Caught(metafunc.config)
        chosen = [
            each for each in DEFECTS if not caught.is_done(each.name) and (not only or each.name in only)
        ]
        chosen.sort(key=lambda each: each.stand == USUAL)
        metafunc.parametrize("defect", [as_parameter(each) for each in chosen])


def as_parameter(defect: Defect):
    return pytest.param(defect, id=name_on(defect.stand, defect.name))
