"""Break the product once for every fault, and see that fault's check fail: `make chaos-sabotage`."""

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
"""Looks for the journals of the dead are five seconds apart, and so are the two halves of a proof."""

HEALS_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
"""What is broken is not waited for as long as what may be slow; the intact product shows it to be enough."""

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]


def test_the_defect_is_caught(stands, defect, plan, tmp_path, record_property):
    record_property(VERSIONS, versions_of(stands.of(defect.stand)))
    intact = result = result_of(SOURCES, stands, defect, plan)
    if intact.is_good:
        result = result_of(sabotaged_copy(defect, tmp_path / "product"), stands, defect, plan)
    is_caught = intact.is_good and defect.is_shown_by(result.outcome)
    told = {"name": defect.name, "fault": defect.fault, "form": defect.form, "mark": defect.mark}
    outcomes = {"intact": intact.outcome, "outcome": result.outcome}
    record_property(SABOTAGE, told | {"caught": is_caught} | outcomes)
    assert intact.is_good, f"{defect.name}: the intact product fails, too: {intact}"
    assert is_caught, f"{defect.name}: not {defect.shows}, but: {result.outcome}"


def result_of(sources: Path, stands: Stands, defect: Defect, plan: Plan) -> Result:
    """Run the form that shows a defect on a product, and say what came of it."""
    stand = stands.of(defect.stand)
    stand.serve(sources)
    result = result_on(stand, defect, plan)
    if len(result.proofs) < result.rounds:
        # It failed in the middle of a strike, and left things as they were then.
        stands.close()
    return result


def result_on(stand: Stand, defect: Defect, plan: Plan) -> Result:
    """Run the form that shows a defect on a stand, with the patience that a broken product is given."""
    fault = next(fault for fault in FAULTS if fault.number == defect.fault)
    forms = tuple(
        replace(form, lasts=defect.lasts or form.lasts, heals=min(form.heals, HEALS_SECONDS))
        for form in fault.forms
        if form.name == defect.form
    )
    assert forms, f"fault {defect.fault} has no form called {defect.form}"
    short = replace(plan, rounds=1, still_seconds=STILL_SECONDS, accounts=False, repeated=0.0)
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
