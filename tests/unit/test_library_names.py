"""The installed libraries have the names that the code relies on; private names stay in the listed files."""

import inspect
import re
from pathlib import Path

import flask.app
import flask.sansio.app
import gunicorn.workers.base
import pika.adapters.base_connection
import pika.adapters.blocking_connection
import pika.adapters.utils.connection_workflow
import pika.adapters.utils.io_services_utils
import pika.connection
import pika.data
import psycopg.errors
import pytest
import sqlalchemy.engine.base
import urllib3.connection

from webhook_api.extensions import PARTS, REGISTRIES

ROOT = Path(__file__).parents[2]
PRODUCT = ("messaging", "webhook_api", "workers", "omctl", "simulator")

PIKA = "messaging/broker/connection.py"
SESSION = "messaging/admin/session.py"
SQLALCHEMY = "workers/db/engine/bulk.py"
PSYCOPG = "workers/db/engine/prefetch.py"
GUNICORN = "webhook_api/http/worker.py"
FLASK = "webhook_api/extensions.py"
URLLIB3 = "workers/http_deadline.py"

NAMES = {
    (PIKA, pika.adapters.utils.io_services_utils): (
        "_AsyncPlaintextTransport _tx_buffers _state _STATE_ACTIVE _sock _MAX_RECV_BYTES"
    ),
    (PIKA, pika.adapters.base_connection): "_transport _proto_connection_made",
    (PIKA, pika.connection): (
        "_on_data_available _frame_buffer _read_frame _trim_frame_buffer _process_frame"
        " _output_marshaled_frames _terminate_stream"
    ),
    (PIKA, pika.adapters.blocking_connection): "_impl",
    (PIKA, pika.data): "decode_value",
    (SESSION, pika.adapters.utils.connection_workflow): "AMQPConnectorException",
    (SQLALCHEMY, sqlalchemy.engine.base): "_handle_dbapi_exception",
    (PSYCOPG, psycopg.errors): "_WaitTimeout",
    (GUNICORN, gunicorn.workers.base): "PIPE wsgi ppid alive",
    # Flask may rename what its dispatch uses; an error handler's registry is used in the base class only.
    (FLASK, flask.app): " ".join((*REGISTRIES[:-1], *PARTS)),
    (FLASK, flask.sansio.app): REGISTRIES[-1],
    (URLLIB3, urllib3.connection): "_new_conn _dns_host",
}
EACH = [(file, module, name) for (file, module), names in NAMES.items() for name in names.split()]


@pytest.mark.parametrize(("file", "module", "name"), EACH)
def test_the_installed_release_still_has_each_name(file, module, name):
    assert re.search(rf"\b{name}\b", inspect.getsource(module)), (
        f"{module.__name__} has no {name}: see {file}"
    )
    assert re.search(rf"\b{name}\b", (ROOT / file).read_text()), (
        f"{file} no longer uses {name}: remove it here"
    )


def test_private_names_are_used_only_in_the_files_listed_here():
    # SQLAlchemy documents Row._mapping; the underscore only avoids a clash with a column's name.
    listed = {file for file, _ in NAMES}
    using = {
        str(path.relative_to(ROOT))
        for package in PRODUCT
        for path in (ROOT / package).rglob("*.py")
        if any("noqa: SLF001" in line and "._mapping" not in line for line in path.read_text().splitlines())
    }
    assert using <= listed
