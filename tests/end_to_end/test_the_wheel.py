"""The installed wheel works without the checkout, together with the documented example's handler."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
import requests
import sqlalchemy

from tests.integration.workers.events import said
from tests.servers import LOOPBACK, ServerProcess, free_port
from tests.services import SECRET, WEBHOOK_PATH, post
from workers.db.engine import make_engine

CHECKOUT = Path(__file__).parents[2]
NO_SOURCES = (".git", ".venv*", "var", "build", "tests", "docs", "*.egg-info", "__pycache__", ".*_cache")

EXAMPLE = CHECKOUT / "docs" / "handler-example"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Install the wheels of the service and the example with all dependencies; return their `bin` folder."""
    directory = tmp_path_factory.mktemp("installed")
    sources, own, wheels = (directory / name for name in ("sources", "own", "wheels"))
    shutil.copytree(CHECKOUT, sources, ignore=shutil.ignore_patterns(*NO_SOURCES))
    shutil.copytree(EXAMPLE, own)
    build_documentation(directory / "documentation", sources / "workers" / "observe" / "site")
    pip("wheel", "--no-deps", "--wheel-dir", wheels, sources, own)
    environment = directory / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    # As in docs/install.md: the lock file is in the wheel, and pip accepts only files whose hashes it lists.
    [wheel] = wheels.glob("open_messaging_ingest-*.whl")
    run(sys.executable, "-m", "zipfile", "-e", wheel, directory / "unpacked")
    lock = directory / "unpacked" / "omctl" / "host-files" / "requirements.lock"
    install = ("--python", environment, "install", "--no-compile")
    pip(*install, "--require-hashes", "--only-binary", ":all:", "--requirement", lock)
    pip(*install, "--no-deps", *wheels.iterdir())
    return environment / "bin"


def build_documentation(environment, site):
    """Build the site into the wheel's sources, as `make wheel` does."""
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    constraints = ("--constraint", CHECKOUT / "deploy" / "constraints.txt")
    pip("--python", environment, "install", "--no-compile", *constraints, "mkdocs-material")
    command = (environment / "bin" / "mkdocs", "build", "--quiet", "--strict", "--site-dir", site)
    run(*command, cwd=CHECKOUT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})


def pip(*arguments):
    quietly = ("--quiet", "--disable-pip-version-check", "--no-input")
    run(sys.executable, "-m", "pip", *arguments[:2], *quietly, *arguments[2:])


def run(*command, **options):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=600, **options
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Installation:
    """Runs the installed programs from an empty folder with the settings of one service."""

    def __init__(self, programs, directory, settings):
        self.directory = directory
        self.bind = f"{LOOPBACK}:{free_port()}"
        self._programs = programs
        self._environment = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "OM_BIND": self.bind,
            "OM_EDGE_PROCESSES": "1",
            "OM_STATE_DIRECTORY": str(directory / "state"),
            "OM_WEBHOOK_SECRETS": SECRET,
            # Retention must not affect the payloads, which are from 2024.
            "OM_RETENTION_DAYS": "36500",
            **settings,
        }

    def omctl(self, *arguments, directory=None):
        command = (self._programs / "omctl", *arguments)
        return run(*command, env=self._environment, cwd=directory or self.directory)

    def start(self, name, *command, is_ready):
        process = ServerProcess(name, self.log(name))
        process.launch(
            [self._programs / command[0], *command[1:]],
            environment=self._environment,
            directory=self.directory,
        )
        process.wait_until(is_ready, timeout=30)
        return process

    def log(self, name):
        return self.directory / f"{name}.log"

    def is_connected(self):
        try:
            report = requests.get(f"http://{self.bind}/health/ready", timeout=5).json()
        except requests.ConnectionError:
            return False
        return [each["journal"]["broker"] for each in report["processes"]] == ["up"]


@pytest.fixture
def installation(programs, rabbitmq, vhost, database_url, tmp_path):
    settings = {
        "OM_AMQP_URL": vhost.amqp_url,
        "OM_MANAGEMENT_URL": rabbitmq.management_url,
        "OM_DATABASE_URL": database_url,
    }
    return Installation(programs, tmp_path, settings)


@pytest.fixture
def query(database_url):
    engine = make_engine(database_url)

    def rows(sql):
        with engine.begin() as connection:
            result = connection.execute(sqlalchemy.text(sql))
            return result.all() if result.returns_rows else []

    yield rows
    engine.dispose()


def installed_path(programs, name):
    """Return a path constant from the status page's module in the installed package."""
    code = f"from workers.observe.page import {name}; print({name})"
    # Run the code outside the checkout, because Python imports from the current folder first.
    path = Path(run(programs / "python", "-c", code, cwd=programs).strip())
    assert path.is_relative_to(programs.parent)
    return path


def test_the_installed_package_contains_the_runbook_and_the_whole_documentation(programs):
    assert installed_path(programs, "RUNBOOK").is_file()
    site = installed_path(programs, "SITE")
    pages = [page for page in (CHECKOUT / "docs").glob("*.md") if page.name != "README.md"]
    assert len(pages) > 15
    assert {page.with_suffix(".html").name for page in pages} <= {path.name for path in site.iterdir()}
    assert "OM_QUEUE_DEPTH_HIGH" in (site / "settings.html").read_text()
    assert 'href="settings.html"' in (site / "tuning.html").read_text()
    index = (site / "index.html").read_text()
    linked = re.findall(r'(?:href|src)="(?!https?:|#|data:)([^"#]+)', index)
    assert any(path.endswith(".js") for path in linked)
    assert any(path.endswith(".css") for path in linked)
    assert [path for path in linked if not (site / path).exists()] == []
    assert (site / "search" / "search_index.json").is_file()
    version = run(programs / "omctl", "--version").split()[-1]
    assert f"Open Messaging Ingest {version}" in index


def test_an_installed_service_processes_an_event_with_an_integrators_handler(installation, query):
    assert "0001" in installation.omctl("migrate", "--dry-run", "--json", directory=CHECKOUT)
    installation.omctl("migrate")
    installation.omctl("setup")
    query((EXAMPLE / "schema.sql").read_text())
    conversation = str(uuid4())
    with ExitStack() as stack:
        edge = installation.start(
            "edge", "gunicorn", "-c", "python:webhook_api.gunicorn_conf", is_ready=installation.is_connected
        )
        stack.callback(edge.end, signal.SIGTERM, timeout=15)
        worker = installation.start(
            "intake",
            *("python", "-m", "workers", "intake"),
            is_ready=lambda: "consumer_up" in installation.log("intake").read_text(),
        )
        stack.callback(worker.end, signal.SIGTERM, timeout=15)
        installation.omctl("check")
        body = json.dumps(said("Where is order 123456?", conversation=conversation)).encode()
        assert post(f"http://{installation.bind}{WEBHOOK_PATH}", body).status_code == 200
        worker.wait_until(lambda: query("SELECT 1 FROM order_mentions"), timeout=20)
    assert query("SELECT outcome, conversation_id FROM processed_events") == [("processed", conversation)]
    assert query("SELECT conversation_id, order_number FROM order_mentions") == [(conversation, "123456")]
