"""What a person is told of conversations that were passed over."""

from types import SimpleNamespace

from omctl.commands.reconcile import _status_of, _tell
from omctl.reconciling import Tally
from workers.reconcile import Bounds


def test_conversations_that_were_passed_over_are_listed_with_the_reason(capsys):
    tally = Tally(refused={"c-1": "answered 403"}, failed={"c-2": "answered 500"})
    reconciling = SimpleNamespace(tally=tally)

    _tell(reconciling, Bounds(0, 1), [], as_json=False)

    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["c-1", "refused", "answered", "403"] in told
    assert ["c-2", "failed", "answered", "500"] in told
    assert _status_of(reconciling, []) == 5
