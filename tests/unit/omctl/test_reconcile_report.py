"""How omctl reconcile reports conversations that it skipped."""

from omctl.repair.reconcile import exit_status, report
from omctl.repair.reconciliation import Findings
from workers.reconcile import Bounds


def test_skipped_conversations_are_listed_with_the_reason(capsys):
    findings = Findings(passed_over=[("c-1", "refused", "answered 403"), ("c-2", "failed", "answered 500")])
    report(findings, Bounds(0, 1), [])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["c-1", "refused", "answered", "403"] in lines
    assert ["c-2", "failed", "answered", "500"] in lines
    assert exit_status(findings, []) == 5
