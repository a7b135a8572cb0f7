"""Set-aside files are deleted when they have been kept long enough, and no others."""

import os

import pytest

from webhook_api.relay.oversized import DAY_SECONDS, delete_expired

NOW = 1_800_000_000.0


@pytest.mark.parametrize("directory", ["oversized", "damaged"])
def test_a_file_is_deleted_after_its_days(tmp_path, directory):
    (tmp_path / directory).mkdir()
    for name, age_days in (("old", 7.1), ("young", 6.9)):
        path = tmp_path / directory / name
        path.write_bytes(b"body")
        os.utime(path, (NOW, NOW - age_days * DAY_SECONDS))

    delete_expired(tmp_path, 7, NOW)

    assert [path.name for path in (tmp_path / directory).iterdir()] == ["young"]


def test_without_set_aside_files_nothing_happens(tmp_path):
    delete_expired(tmp_path, 1, NOW)

    assert list(tmp_path.iterdir()) == []
