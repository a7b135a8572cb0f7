"""Internal names of libraries, each used in one file: a release that changes one fails here and is named."""

import inspect
import re
from pathlib import Path

import gunicorn.arbiter
import gunicorn.config
import gunicorn.workers.base
import pika.adapters.asyncio_connection
import pika.adapters.base_connection
import pika.adapters.blocking_connection
import pika.adapters.utils.io_services_utils
import pika.connection
import psycopg.errors
import pytest
import sqlalchemy.engine.base
import urllib3.connection

ROOT = Path(__file__).parents[2]
PRODUCT = ("messaging", "webhook_api", "workers", "omctl", "simulator")

PIKA = "messaging/broker/connection.py"
SQLALCHEMY = "workers/db/engine/bulk.py"
PSYCOPG = "workers/db/engine/prefetch.py"
GUNICORN = "webhook_api/http/worker.py"
URLLIB3 = "workers/http_deadline.py"

NAMES = [
    (PIKA, pika.adapters.utils.io_services_utils, "_AsyncPlaintextTransport"),
    (PIKA, pika.adapters.utils.io_services_utils, "_tx_buffers"),
    (PIKA, pika.adapters.utils.io_services_utils, "_state"),
    (PIKA, pika.adapters.utils.io_services_utils, "_STATE_ACTIVE"),
    (PIKA, pika.adapters.utils.io_services_utils, "_sock"),
    (PIKA, pika.adapters.utils.io_services_utils, "_MAX_RECV_BYTES"),
    (PIKA, pika.adapters.base_connection, "_transport"),
    (PIKA, pika.adapters.base_connection, "_proto_connection_made"),
    (PIKA, pika.connection, "_on_data_available"),
    (PIKA, pika.connection, "_frame_buffer"),
    (PIKA, pika.connection, "_read_frame"),
    (PIKA, pika.connection, "_trim_frame_buffer"),
    (PIKA, pika.connection, "_process_frame"),
    (PIKA, pika.connection, "_output_marshaled_frames"),
    (PIKA, pika.adapters.blocking_connection, "_impl"),
    (PIKA, pika.connection, "_terminate_stream"),
    (SQLALCHEMY, sqlalchemy.engine.base, "_handle_dbapi_exception"),
    (PSYCOPG, psycopg.errors, "_WaitTimeout"),
    (GUNICORN, gunicorn.workers.base, "PIPE"),
    (GUNICORN, gunicorn.workers.base, "wsgi"),
    (GUNICORN, gunicorn.workers.base, "ppid"),
    (GUNICORN, gunicorn.workers.base, "alive"),
    (URLLIB3, urllib3.connection, "_new_conn"),
    (URLLIB3, urllib3.connection, "_dns_host"),
]


@pytest.mark.parametrize(("file", "module", "name"), NAMES)
def test_the_installed_release_has_the_name(file, module, name):
    assert re.search(rf"\b{name}\b", inspect.getsource(module)), (
        f"{module.__name__} has no {name}: see {file}"
    )
    assert re.search(rf"\b{name}\b", (ROOT / file).read_text()), (
        f"{file} no longer uses {name}: remove it here"
    )


def test_private_names_are_used_only_in_the_files_listed_here():
    # SQLAlchemy documents Row._mapping: the underscore keeps it apart from columns.
    listed = {file for file, _, _ in NAMES}
    using = {
        str(path.relative_to(ROOT))
        for package in PRODUCT
        for path in (ROOT / package).rglob("*.py")
        if any("noqa: SLF001" in line and "._mapping" not in line for line in path.read_text().splitlines())
    }
    assert using <= listed
