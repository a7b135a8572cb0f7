"""While the disk or the journal is full, the edge answers with 503 and reports that it is not ready."""

import os
import subprocess
from contextlib import suppress

import pytest
import requests

from tests.services import post
from tests.waiting import wait_until

DISK_BYTES = 2 * 1024 * 1024
FULL = "the journal cannot be written: no space left on device: senders are answered 503"


@pytest.fixture
def small_disk(tmp_path):
    """The mount point of a small file system for the state directory."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system takes root")
    directory = tmp_path / "state"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", directory], check=True)
    yield directory
    # Unmount lazily, because the processes of a killed edge keep running for a moment.
    subprocess.run(["umount", "--lazy", directory], check=True)


def _fill(directory):
    path = directory / "filler"
    with path.open("wb") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(4096))
    return path


def _wait_for_status(edge, status):
    url = edge.url.replace("/webhooks/genesys/openmessaging", "/health/ready")
    return wait_until(
        lambda: (answer := requests.get(url, timeout=10)).status_code == status and answer.json()
    )


def test_an_edge_with_a_full_disk_is_not_ready_until_the_disk_has_room(small_disk, make_edge):
    edge = make_edge()
    assert post(edge.url, b"{}").status_code == 200
    filler = _fill(small_disk)
    report = _wait_for_status(edge, 503)
    refused = post(edge.url, b"x" * 8192)
    filler.unlink()
    _wait_for_status(edge, 200)
    assert FULL in report["problems"]
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert post(edge.url, b"x" * 8192).status_code == 200


def test_an_edge_that_starts_on_a_full_disk_accepts_events_once_the_disk_has_room(small_disk, make_edge):
    filler = _fill(small_disk)
    edge = make_edge()
    _wait_for_status(edge, 503)
    filler.unlink()
    _wait_for_status(edge, 200)
    assert post(edge.url, b"{}").status_code == 200


def test_an_edge_with_a_full_journal_answers_503_and_is_not_ready(make_edge):
    """Guarantee 5.2."""
    edge = make_edge(OM_JOURNAL_MAX_BYTES=str(1024 * 1024), OM_MAX_BODY_BYTES=str(512 * 1024))
    _wait_for_status(edge, 200)
    answers = [post(edge.url, b"x" * 300_000) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 503, 503]
    assert answers[-1].headers["Retry-After"] == "5"
    assert "the journal is full: senders are answered 503" in _wait_for_status(edge, 503)["problems"]
    assert '"event": "journal_full"' in edge.log.read_text()
