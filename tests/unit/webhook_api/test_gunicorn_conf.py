"""The edge's master imports all modules before it forks."""

import subprocess
import sys

from tests.services import GONE, Service

LATER = """
import sys, threading
import webhook_api.gunicorn_conf as configuration
before = set(sys.modules)
import webhook_api.http
from webhook_api.gunicorn_conf import make_service
print(sorted(set(sys.modules) - before), threading.active_count())
"""


def test_an_edge_process_imports_nothing_after_the_fork(tmp_path):
    service = Service(tmp_path, GONE, "http://guest:guest@127.0.0.1:9")
    command = [sys.executable, "-c", LATER]
    environment = service.environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "1"]
