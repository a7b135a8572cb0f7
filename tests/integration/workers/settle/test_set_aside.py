"""A conversation that cannot be settled does not delay other conversations, on PostgreSQL and on SQLite."""

import secrets

import pytest
from sqlalchemy import event, text

from messaging.errors import RetryLaterError
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.events import deliver, routed, said
from tests.integration.workers.settle.conftest import QueuedAtThePlatform
from workers.settle.settler import ASIDE_SECONDS

REFUSE = {
    "postgresql": """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW
        WHEN (NEW.conversation_id = 'c-7') EXECUTE FUNCTION refuse()""",
    "sqlite": """
        CREATE TRIGGER refuse BEFORE INSERT ON outbox WHEN NEW.conversation_id = 'c-7'
        BEGIN SELECT RAISE(ABORT, 'no'); END""",
}
UNSETTLED = "SELECT conversation_id FROM conversations WHERE unsettled_because IS NOT NULL"
# For PostgreSQL, a time that psycopg refuses to load; for SQLite, a text that is not a time.
UNREADABLE_TIME = {"postgresql": "'55840-01-01'", "sqlite": "'no time'"}
SETTLED = "SELECT count(*) FROM outbox WHERE event_id IS NOT NULL"


@pytest.fixture
def spoil(engine):
    """Return a function that makes a row of a table unreadable, or readable again."""

    def spoil(table, *, is_mended=False):
        time = "occurred_at" if is_mended else UNREADABLE_TIME[engine.dialect.name]
        sql = f"UPDATE {table} SET received_at = {time} WHERE conversation_id = 'c-7'"  # noqa: S608
        with engine.begin() as connection:
            connection.exec_driver_sql(sql)

    return spoil


def test_a_window_that_cannot_be_settled_is_set_aside_and_tried_again(
    intake, make_settler, clock, query, spoil
):
    """Guarantee 7.14."""
    intake(*[deliver(said("hello", conversation=f"c-{number}")) for number in range(20)])
    spoil("conversation_messages")
    clock.seconds += 2.1
    settler = make_settler()
    while settler.settle_windows():
        pass
    assert query(SETTLED) == [(19,)]
    assert query(UNSETTLED) == [("c-7",)]
    intake(deliver(said("another", conversation="c-7", after_ms=1)))
    clock.seconds += 20.0
    assert settler.settle_windows() == 0

    spoil("conversation_messages", is_mended=True)
    clock.seconds += ASIDE_SECONDS
    assert settler.settle_windows() == 1
    assert query(SETTLED) == [(21,)]
    assert query(UNSETTLED) == []


def test_a_window_whose_entries_the_database_refuses_is_set_aside(engine, intake, make_settler, clock, query):
    intake(*[deliver(said("hello", conversation=f"c-{number}")) for number in range(20)])
    with engine.begin() as connection:
        connection.exec_driver_sql(REFUSE[engine.dialect.name])
    clock.seconds += 2.1
    assert make_settler().settle_windows() == 19
    assert query(SETTLED) == [(19,)]
    assert query(UNSETTLED) == [("c-7",)]


def test_a_window_that_reopens_while_a_failed_batch_is_split_stays_open(  # noqa: PLR0917  # fixtures
    engine, intake, make_settler, clock, query, spoil
):
    intake(*[deliver(said("hello", conversation=f"c-{number}")) for number in range(20)])
    spoil("conversation_messages")
    clock.seconds += 2.1

    @event.listens_for(engine, "commit", once=True)
    def reopen(connection):
        sql = "UPDATE conversations SET window_closes_at = '2999-01-01' WHERE conversation_id = 'c-1'"
        connection.execute(text(sql))

    make_settler().settle_windows()
    assert query("SELECT count(*) FROM outbox WHERE conversation_id = 'c-1'") == [(0,)]
    assert query(SETTLED) == [(18,)]


def test_an_unverifiable_update_is_set_aside_and_tried_again(intake, make_settler, clock, query, spoil):
    intake(*[deliver(routed("QUEUED", conversation=f"c-{number}")) for number in range(10)])
    settler = make_settler(QueuedAtThePlatform())
    settler.settle_closed()
    spoil("routing_updates")
    for _ in range(20):
        settler.settle_updates()
    assert query("SELECT count(*) FROM routing_updates WHERE decision = 'applied'") == [(9,)]
    assert query(UNSETTLED) == [("c-7",)]

    spoil("routing_updates", is_mended=True)
    clock.seconds += ASIDE_SECONDS
    assert settler.settle_updates() == 1
    assert query("SELECT count(*) FROM routing_updates WHERE decision = 'applied'") == [(10,)]
    assert query(UNSETTLED) == []


def test_an_update_whose_result_cannot_be_recorded_is_set_aside(intake, make_settler, clock, query, spoil):
    intake(*[deliver(routed("QUEUED", conversation=f"c-{number}")) for number in range(10)])
    settler = make_settler(QueuedAtThePlatform(), end_seconds=60.0)
    spoil("routing_updates")
    clock.seconds += 61.0
    settler.end_updates()
    assert query("SELECT count(*) FROM routing_updates WHERE decision = 'undecided'") == [(9,)]
    assert query(UNSETTLED) == [("c-7",)]
    clock.seconds += 2.0
    assert settler.end_updates() == 0


@pytest.fixture
def without_permission(engine):
    """Revoke the engine's permission to write to the outbox; yield a function that grants it again."""
    role = f"settle-{secrets.token_hex(4)}"

    def execute(*statements):
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def become(connection):
        connection.exec_driver_sql(f'SET LOCAL ROLE "{role}"')

    kinds = ("TABLES", "SEQUENCES")
    grants = [f'GRANT ALL ON ALL {kind} IN SCHEMA public TO "{role}"' for kind in kinds]
    execute(f'CREATE ROLE "{role}"', *grants, f'REVOKE INSERT ON outbox FROM "{role}"')
    event.listen(engine, "begin", become)

    def grant():
        execute("RESET ROLE", f'GRANT INSERT ON outbox TO "{role}"')

    yield grant
    event.remove(engine, "begin", become)
    execute(f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')


@ON_POSTGRESQL
@pytest.mark.parametrize("kind", ["message", "verified", "overdue"])
def test_a_missing_permission_sets_no_conversation_aside(  # noqa: PLR0917  # fixtures
    kind, intake, make_settler, clock, query, without_permission
):
    make = said if kind == "message" else routed
    intake(*[deliver(make("QUEUED", conversation=f"c-{number}")) for number in range(5)])
    settler = make_settler(QueuedAtThePlatform(), end_seconds=60.0, applies_unverified=True)
    if kind != "message":
        # The window closes first; the updates are applied later.
        settler.settle_closed()
    steps = {"message": "settle_windows", "verified": "settle_updates", "overdue": "end_updates"}
    step = getattr(settler, steps[kind])
    clock.seconds += 61.0 if kind == "overdue" else 2.1
    with pytest.raises(RetryLaterError, match="42501: the database's user lacks a permission"):
        step()
    assert query(UNSETTLED) == []

    without_permission()
    assert step() > 0
    assert query("SELECT count(*) > 0 FROM outbox WHERE event_id IS NOT NULL") == [(True,)]
