"""Every fault has defects that still apply to the product; a fault that did not strike shows no defect."""

import ast
import builtins
import re
from dataclasses import replace
from pathlib import PurePath

import pytest

from tests.chaos.defects import DEFECTS
from tests.chaos.faults import FAULTS
from tests.chaos.result import Result
from tests.chaos.sabotage import LOST
from tests.stand.product import SOURCES

LOSES = next(defect for defect in DEFECTS if defect.shows == LOST)
LOSING = Result(0, "", proofs=("the process id changed",), lost=3)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_the_product_defines_every_name_that_a_defect_replaces_or_uses(defect):
    source = (SOURCES / defect.module).read_text(encoding="utf-8")
    for name in replaced_by(defect.code):
        assert is_defined(ast.parse(source), name), f"{defect.module} has no {name} any more"
    used = {name.id for name in ast.walk(ast.parse(defect.code)) if isinstance(name, ast.Name)}
    assert used <= bound_by(ast.parse(f"{source}\n{defect.code}")) | vars(builtins).keys()


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_no_defect_imports_a_package_that_imports_the_changed_module(defect):
    packages = {node.module for node in ast.walk(ast.parse(defect.code)) if isinstance(node, ast.ImportFrom)}
    parents = {".".join(parent.parts) for parent in PurePath(defect.module).parents}
    assert packages.isdisjoint(parents)


def test_every_defect_belongs_to_a_listed_form_and_every_fault_has_a_defect():
    forms = {(fault.number, form.name) for fault in FAULTS for form in fault.forms}
    assert {(defect.fault, defect.form) for defect in DEFECTS} <= forms
    assert all(re.compile(defect.shows) for defect in DEFECTS)
    assert {fault.number for fault in FAULTS} == {defect.fault for defect in DEFECTS}


@pytest.mark.parametrize(
    "outcome",
    [
        "AssertionError: waited 60 s in vain: it strikes: a worker is gone",
        "AssertionError: it did not strike: 0 tries were refused",
        "the queue did not drain: 3 deliveries",
        "3 windows, updates and deliveries are unfinished",
    ],
)
def test_a_failed_or_unproven_strike_or_unfinished_work_does_not_count_as_a_caught_defect(outcome):
    assert LOSES.is_shown_by(LOSING)
    assert not LOSES.is_shown_by(replace(LOSING, failure=outcome))
    assert not LOSES.is_shown_by(replace(LOSING, proofs=()))


def replaced_by(code):
    """Yield the product's names that a defect's code redefines at its top level."""
    for node in ast.parse(code).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        names = [ast.unparse(target).partition("[")[0] for target in targets]
        names += [node.name] if isinstance(node, ast.FunctionDef) else []
        yield from (name for name in names if not name.startswith("_") or "[" in ast.unparse(node))


def bound_by(tree):
    """Return every name that the tree assigns, imports, defines or takes as an argument."""
    return {
        bound.partition(".")[0]
        for node in ast.walk(tree)
        if not isinstance(node, ast.Name) or isinstance(node.ctx, ast.Store)
        for bound in (getattr(node, field, None) for field in ("id", "arg", "name", "asname"))
        if bound
    }


def is_defined(tree, name):
    first, _, attribute = name.partition(".")
    if first == "sorted":
        return any(isinstance(node, ast.Name) and node.id == "sorted" for node in ast.walk(tree))
    found = [node for node in tree.body if defines(node, first)]
    if not attribute:
        return bool(found)
    return any(defines(inner, attribute) for node in found for inner in getattr(node, "body", []))


def defines(node, name):
    if isinstance(node, ast.ImportFrom | ast.Import):
        return any((alias.asname or alias.name) == name for alias in node.names)
    targets = getattr(node, "targets", []) or [getattr(node, "target", None)]
    return getattr(node, "name", "") == name or any(getattr(t, "id", "") == name for t in targets)
