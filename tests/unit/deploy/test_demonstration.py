"""The demonstration takes every setting that could lead it to other data out of its environment."""

from deploy.local.demonstration import OWN_SETTINGS
from messaging.settings import known_settings


def test_what_it_takes_out_are_settings_and_the_file_that_overrides_them():
    assert set(OWN_SETTINGS) <= known_settings()
    assert "OM_SETTINGS_FILE" in OWN_SETTINGS
