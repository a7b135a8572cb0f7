"""After a cutover from the guide's own code and an import of its keys, no event takes effect twice."""

from functools import partial

import pytest

from omctl.connect.import_keys import import_keys
from tests.guide_code import Cache, guide_consumer
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.events import deliver, said

RECEIVED = """
    SELECT conversation_id, outcome, reason FROM processed_events WHERE source = 'webhook'
    ORDER BY idempotency_key
"""


@pytest.fixture
def run(migrated_url, tmp_path):
    """Return a function that imports a file with some lines and returns the command's report."""
    omctl = partial(run_omctl, import_keys, str(tmp_path / "keys.txt"), OM_DATABASE_URL=migrated_url)

    def import_lines(lines, *arguments, status=0):
        text = "".join(f"{line}\n" for line in lines)
        (tmp_path / "keys.txt").write_text(text, errors="surrogateescape")
        return omctl(*arguments, status=status)

    return import_lines


def test_each_event_takes_effect_once_after_a_cutover(run, intake, query):
    cache, effects = Cache(), []
    before = [said(f"before {number}", conversation=f"c-{number}") for number in range(3)]
    after = [said("after", conversation="c-2", after_ms=9), said("after", conversation="c-9")]
    for payload in (*before, before[0]):
        guide_consumer(payload, cache, effects.append)
    assert effects == before

    assert run(cache, "--dry-run") == {"keys": 3, "imported": 0, "refused_lines": [], "done": False}
    assert [run(cache)["imported"] for _ in range(2)] == [3, 0]
    # The platform resends the last events, and sends events that the guide's code never received.
    intake(*[deliver(payload) for payload in (*before, *after)])
    intake(deliver(before[0]))

    assert query(RECEIVED) == [
        *[(payload["conversationId"], "skipped", "imported") for payload in before],
        *[(payload["conversationId"], "processed", None) for payload in after],
    ]
    assert query("SELECT count(*) FROM conversation_messages") == [(2,)]


def test_keys_with_any_spelling_of_the_time_are_imported_and_other_lines_are_refused(run, intake, query):
    payload = said("Hello", conversation="a:b")
    time = payload["timestamp"].replace("+00:00", "000Z")
    refused = ["session:42", "", "a:2024-13-45T00:00:00Z"]
    # These two lines are not text.
    refused += ["\udcff:2024-05-15T14:32:10Z", "\0:2024-05-15T14:32:10Z"]
    report = run([*refused, f'"a:b:{time}"'], status=1)
    assert (report["imported"], report["refused_lines"]) == (1, [1, 3, 4, 5])
    intake(deliver(payload))
    assert query(RECEIVED) == [("a:b", "skipped", "imported")]
