"""Only the user who runs a local service can read its data."""

import os
import stat
from functools import partial

from deploy.local.__main__ import keep_private


def test_other_users_cannot_read_the_data_of_a_local_service(tmp_path, request):
    request.addfinalizer(partial(os.umask, os.umask(0o022)))
    new, var = tmp_path / "new", tmp_path / "var"
    # An older checkout might have created `var` with read permission for all users.
    var.mkdir()
    for directory in (new, var):
        keep_private(directory)
    (var / "state").mkdir()
    (var / "open-messaging.sqlite3").write_text("a body")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (new, var, var / "state")]
    assert modes == [0o700] * 3
    assert stat.S_IMODE((var / "open-messaging.sqlite3").stat().st_mode) == 0o600
