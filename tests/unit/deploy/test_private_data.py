"""Access to the data of a local service."""

import os
import stat

import pytest

from deploy.local.__main__ import keep_private


@pytest.fixture(autouse=True)
def _umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("exists", [True, False])
def test_other_users_cannot_read_the_data_of_a_local_service(tmp_path, exists):
    var = tmp_path / "var"
    if exists:
        # An older checkout may have created it world-readable.
        var.mkdir()

    keep_private(var)
    (var / "state").mkdir()
    (var / "open-messaging.sqlite3").write_text("a body")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (var, *var.iterdir())}
    assert modes == {"var": 0o700, "state": 0o700, "open-messaging.sqlite3": 0o600}
