"""Each safeguard's test fails on a copy of the product without that safeguard."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.chaos.sources import copy_of
from tests.stand.product import SOURCES

VARIANT = "[sqlite---customer]"
DEFECTS = {
    "a 404 makes later webhooks expensive": (
        "webhook_api/application.py",
        "",
        """

_wsgi_app = EdgeApplication.wsgi_app
def wsgi_app(self, environ, start_response):
    if environ["PATH_INFO"] not in {WEBHOOK_PATH, BUS_PATH}:
        self._can_skip_dispatch = False
    return _wsgi_app(self, environ, start_response)
EdgeApplication.wsgi_app = wsgi_app
""",
        "tests/unit/webhook_api/test_application.py",
        "test_later_webhooks_still_take_the_short_path_after_an_error[404-True]",
    ),
    "slow heads hold connections": (
        "omctl/host-files/nginx/open-messaging.conf",
        "client_header_timeout 5s;",
        "",
        "tests/integration/omctl/test_gateway.py",
        "test_a_slow_sender_is_disconnected_even_if_its_request_is_not_subject_to_a_limit[head]",
    ),
    "a URL is shown with its password": (
        "omctl/look/settings.py",
        "",
        "\n\nredact_url = str\n",
        "tests/unit/omctl/test_settings.py",
        "test_a_setting_is_shown_without_its_secret",
    ),
    "an error shows the values of its statement": (
        "workers/db/engine/transactions.py",
        "hide_parameters=True",
        "hide_parameters=False",
        "tests/integration/workers/db/test_bulk.py",
        "test_an_error_does_not_show_the_values_of_its_statement[sqlite]",
    ),
    "an erasure forgets the discarded dead letters": (
        "workers/db/erasure.py",
        "",
        "\n\nerase_discarded = lambda *_, **__: set()\n",
        "tests/integration/workers/operating/test_erase.py",
        "test_an_erasure_removes_only_a_customers_data_from_every_table_and_queue_and_is_recorded" + VARIANT,
    ),
    "an erasure takes other customers' dead letters": (
        "workers/db/erasure.py",
        "",
        "\n\nencode_needles = lambda identifiers: {one.encode() for one in identifiers}\n",
        "tests/integration/workers/operating/test_erase.py",
        "test_an_erasure_leaves_dead_letters_that_contain_the_id_only_as_part_of_a_longer_id" + VARIANT,
    ),
}


QUICK = ("a 404 makes later webhooks expensive",)
IS_NIGHT = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
NIGHTLY = pytest.mark.skipif(not IS_NIGHT, reason="make test-nightly")


def run_pytest(directory, *arguments, **environment):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=directory, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_every_safeguard_and_its_test_exist():
    for module, safeguard, _, _, _ in DEFECTS.values():
        assert safeguard in (SOURCES / module).read_text()
    tests = [f"{path}::{test}" for *_, path, test in DEFECTS.values()]
    collected = run_pytest(SOURCES, "--collect-only", *tests)
    assert collected.returncode == 0, collected.stderr


@pytest.mark.parametrize(
    "defect", [pytest.param(one, marks=() if one in QUICK else NIGHTLY) for one in DEFECTS]
)
def test_the_test_of_a_safeguard_fails_without_the_safeguard(rabbitmq, tmp_path, defect):
    module, safeguard, instead, path, test = DEFECTS[defect]
    copy = copy_of(SOURCES, tmp_path / "copy")
    for name in ("deploy", "tests"):
        shutil.copytree(SOURCES / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    servers = {
        "OM_TEST_AMQP_URL": rabbitmq.amqp_url,
        "OM_TEST_MANAGEMENT_URL": rabbitmq.management_url,
        "PYTHONPATH": str(copy),
    }

    if IS_NIGHT:
        # Only `make test-nightly` needs this run: `make test` itself runs the test on the intact product.
        intact = run_pytest(copy, f"{path}::{test}", **servers)
        assert intact.returncode == 0, intact.stdout
        assert " passed" in intact.stdout, "it is skipped"
    text = (copy / module).read_text()
    (copy / module).write_text(text.replace(safeguard, instead) if safeguard else text + instead)
    assert f"FAILED {path}::{test}" in run_pytest(copy, f"{path}::{test}", **servers).stdout
