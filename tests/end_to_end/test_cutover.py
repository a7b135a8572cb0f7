"""Each event takes effect once during a cutover from the guide's code to this service behind one URL."""

import json
import re
import signal
from contextlib import ExitStack
from pathlib import Path

import sqlalchemy
from click.testing import CliRunner
from flask import Flask, request

from omctl.connect.import_keys import import_keys
from simulator.serving import serve_app
from tests.gateway import Gateway
from tests.guide_code import Cache, guide_consumer
from tests.integration.workers.events import said
from tests.servers import LOOPBACK, ensure_nginx
from tests.services import WEBHOOK_PATH, Edge, IntakeWorker, Service, declare_topology, running
from tests.waiting import wait_until
from workers.db.engine import make_engine

CUTOVER = Path(__file__).parents[2] / "docs" / "cutover.md"
OUTCOMES = "SELECT outcome, reason FROM processed_events WHERE source = 'webhook' ORDER BY idempotency_key"
BODIES = [json.dumps(said("Hello", conversation=f"c-{number}")).encode() for number in range(5)]


def serve_guide_code(effects, cache):
    """Serve the guide's code. Its consumer runs within the request, because only its effects are tested."""
    code = Flask(__name__)

    @code.post(WEBHOOK_PATH)
    def receive():
        guide_consumer(json.loads(request.get_data()), cache, effects.append)
        return ""

    return serve_app(code)


def test_each_event_takes_effect_once_during_a_cutover_behind_one_url(vhost, migrated_sqlite_url, tmp_path):
    ensure_nginx()
    declare_topology(vhost.amqp_url)
    [mirror] = re.findall(r"```nginx\n *(.*?)```", CUTOVER.read_text(), re.DOTALL)
    cache, effects, engine = Cache(), [], make_engine(migrated_sqlite_url)
    side_by_side = Service(tmp_path, vhost.amqp_url, settings={"OM_EVENT_FILTER": "false"})
    alone = Service(tmp_path, vhost.amqp_url)

    def outcomes():
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sqlalchemy.text(OUTCOMES))]

    with ExitStack() as stack:
        stack.callback(engine.dispose)
        url = stack.enter_context(serve_guide_code(effects, cache))
        edge, worker = Edge(alone), IntakeWorker(side_by_side, migrated_sqlite_url)
        local = mirror.replace("http://192.0.2.10:8000", url)
        gateway = Gateway(tmp_path, f"{LOOPBACK}:{edge.port}", local=local)
        for process in (edge, worker, gateway):
            stack.enter_context(running(process))
            process.start()
        assert [gateway.post(body).status_code for body in BODIES[:3]] == [200] * 3
        wait_until(lambda: len(outcomes()) == len(effects) == 3)
        worker.end(signal.SIGTERM, timeout=15)
        assert gateway.post(BODIES[3]).status_code == 200
        wait_until(lambda: len(effects) == 4)
        gateway.end(signal.SIGTERM, timeout=15)
        (tmp_path / "local.conf").write_text("")
        gateway.start()
        assert [gateway.post(body).status_code for body in (BODIES[2], BODIES[4])] == [200] * 2

        keys = tmp_path / "keys.txt"
        keys.write_text("\n".join(cache))
        environment = {"OM_DATABASE_URL": migrated_sqlite_url}
        imported = CliRunner().invoke(import_keys, [str(keys), "--json"], env=environment)
        assert json.loads(imported.output)["refused_lines"] == []
        worker = stack.enter_context(running(IntakeWorker(alone, migrated_sqlite_url)))
        worker.start()
        wait_until(lambda: len(outcomes()) == 5)
    # nginx answers without waiting for the mirrored requests, so their order can change.
    assert sorted(effects, key=json.dumps) == [json.loads(body) for body in BODIES[:4]]
    assert outcomes() == [*[("skipped", "filtered")] * 3, ("skipped", "imported"), ("processed", None)]
