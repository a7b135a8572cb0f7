"""Break the product once for every fault, and see that fault's check fail: `make chaos-sabotage`."""

import re
from dataclasses import replace

import pytest

from tests.chaos.defects import DEFECTS
from tests.chaos.faults import FAULTS
from tests.chaos.plugin import CAUGHT, plan
from tests.chaos.run import Plan, run_fault
from tests.chaos.sabotage import Defect, sabotaged_copy
from tests.chaos.stand import Stand, running_stand

__all__ = ["plan"]

STILL_SECONDS = 15.0
"""Looks for the journals of the dead are five seconds apart, and so are the two halves of a proof."""

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


def test_the_defect_is_caught(defect, plan, tmp_path, record_property):
    outcome = outcome_of(defect, plan, tmp_path)
    is_caught = re.search(defect.shows, outcome) is not None
    record_property(CAUGHT, is_caught)
    assert is_caught, f"{defect.name}: not {defect.shows}, but: {outcome}"


def outcome_of(defect: Defect, plan: Plan, directory) -> str:
    """Run the form that shows a defect on a sabotaged copy, and say what came of it."""
    sources = sabotaged_copy(defect, directory / "product")
    with running_stand(defect.stand, directory / "stand", sources) as stand:
        return outcome_on(stand, defect, plan)


def outcome_on(stand: Stand, defect: Defect, plan: Plan) -> str:
    """Do the same on a stand that runs the sabotaged copy."""
    fault = next(fault for fault in FAULTS if fault.number == defect.fault)
    forms = tuple(form for form in fault.forms if form.name == defect.form)
    assert forms, f"fault {defect.fault} has no form called {defect.form}"
    short = replace(plan, rounds=1, still_seconds=STILL_SECONDS, accounts=False)
    result = run_fault(stand, replace(fault, forms=forms), short)
    return f"lost={result.lost} repeated={result.repeated} {result.failure}"


def pytest_generate_tests(metafunc):
    if "defect" in metafunc.fixturenames:
        only = metafunc.config.getoption("defect")
        chosen = [each for each in DEFECTS if not only or each.name in only]
        metafunc.parametrize("defect", chosen, ids=[each.name.replace(" ", "-") for each in chosen])
