"""omctl reconcile reports the conversations that it skipped."""

from omctl.repair.reconcile import Findings, exit_status, report
from workers.reconcile import Bounds, CheckResult


def test_skipped_conversations_are_listed_with_the_reason(capsys):
    refused, failed = (
        CheckResult("c-1", 0, refused="answered 403"),
        CheckResult("c-2", 0, failed="answered 500"),
    )
    findings = Findings([refused, failed])
    report(findings, Bounds(0, 1), [])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["c-1", "refused", "answered", "403"] in lines
    assert ["c-2", "failed", "answered", "500"] in lines
    assert exit_status(findings, []) == 5
