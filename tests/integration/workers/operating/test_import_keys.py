"""After a cutover from the guide's own code and an import of its keys, no event takes effect twice."""

import json

from click.testing import CliRunner

from omctl.connect.import_keys import import_keys
from tests.guide_code import Cache, guide_consumer
from tests.integration.workers.events import deliver, said

RECEIVED = """
    SELECT conversation_id, outcome, reason FROM processed_events WHERE source = 'webhook'
    ORDER BY idempotency_key
"""


def run(database_url, tmp_path, lines, *arguments):
    file = tmp_path / "keys.txt"
    file.write_text("".join(f"{line}\n" for line in lines), errors="surrogateescape")
    arguments = [str(file), "--json", *arguments]
    result = CliRunner().invoke(import_keys, arguments, env={"OM_DATABASE_URL": database_url})
    return result.exit_code, json.loads(result.output)


def test_each_event_takes_effect_once_after_a_cutover(engine, intake, query, tmp_path):
    cache, effects = Cache(), []
    before = [said(f"before {number}", conversation=f"c-{number}") for number in range(3)]
    after = [said("after", conversation="c-2", after_ms=9), said("after", conversation="c-9")]
    for payload in (*before, before[0]):
        guide_consumer(payload, cache, effects.append)
    assert effects == before

    url = engine.url.render_as_string(hide_password=False)
    assert run(url, tmp_path, cache, "--dry-run") == (
        0, {"keys": 3, "imported": 0, "refused_lines": [], "done": False}
    )  # fmt: skip
    assert run(url, tmp_path, cache)[1]["imported"] == 3
    assert run(url, tmp_path, cache)[1]["imported"] == 0
    # The platform resends the last events, and sends events that the guide's code never received.
    intake(*[deliver(payload) for payload in (*before, *after)])
    intake(deliver(before[0]))

    assert query(RECEIVED) == [
        *[(payload["conversationId"], "skipped", "imported") for payload in before],
        *[(payload["conversationId"], "processed", None) for payload in after],
    ]
    assert query("SELECT count(*) FROM conversation_messages") == [(2,)]


def test_keys_with_any_spelling_of_the_time_are_imported_and_other_lines_are_refused(
    engine, intake, query, tmp_path
):
    payload = said("Hello", conversation="a:b")
    time = payload["timestamp"].replace("+00:00", "000Z")
    url = engine.url.render_as_string(hide_password=False)
    status, report = run(url, tmp_path, [f'"a:b:{time}"', "session:42", "", "a:2024-13-45T00:00:00Z"])
    assert (status, report["imported"], report["refused_lines"]) == (1, 1, [2, 4])
    intake(deliver(payload))
    assert query(RECEIVED) == [("a:b", "skipped", "imported")]


def test_lines_that_are_not_text_are_refused_and_other_keys_are_imported(engine, tmp_path):
    url = engine.url.render_as_string(hide_password=False)
    lines = ["\udcff:2024-05-15T14:32:10Z", "\0:2024-05-15T14:32:10Z", "c:2024-05-15T14:32:10Z"]
    status, report = run(url, tmp_path, lines)
    assert (status, report["imported"], report["refused_lines"]) == (1, 1, [1, 2])
