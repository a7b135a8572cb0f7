"""The edge's response counts are read from its metrics, and each response is recorded in SQL once."""

import signal

from sqlalchemy import text

from messaging.clock import SystemClock
from tests.services import GONE, Edge, Service, post, running
from workers.db.engine import make_engine
from workers.observe.edge_answers import EdgeAnswersRecorder

ROWS = text(
    "SELECT edge, answered, within_3_s, status_401, status_413, other_refusals FROM edge_statistics"
    " ORDER BY began_at, process"
)


def test_each_response_of_the_edge_is_recorded_once(migrated_sqlite_url, tmp_path):
    engine = make_engine(migrated_sqlite_url)
    edge = Edge(Service(tmp_path, GONE))
    with running(edge):
        edge.start(wait_for_broker=False)
        post(edge.url, b'{"before": "the first reading"}')
        bind = f"127.0.0.1:{edge.port}"
        recorder = EdgeAnswersRecorder(engine, SystemClock(), "om-1", bind)
        recorder.record()
        for number in range(3):
            assert post(edge.url, b'{"number": %d}' % number).status_code == 200
        assert post(edge.url, b"{}", X_Hub_Signature_256="sha256=none").status_code == 401
        assert post(edge.url, b" " * 2_000_000).status_code == 413
        assert post(edge.url, b"").status_code == 400
        recorder.record()
        recorder.record()
        edge.end(signal.SIGTERM, timeout=15)
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(ROWS)] == [("om-1", 3, 3, 1, 1, 1)]
    engine.dispose()
