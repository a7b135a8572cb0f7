"""`omctl uninstall --purge` runs on a host whose database other hosts also use."""

import shutil

import psycopg
import pytest
from sqlalchemy import make_url

from omctl.installing import removal
from omctl.installing.database import DATABASE
from omctl.installing.steps import InstallationError


@pytest.mark.skipif(shutil.which("psql") is None, reason="needs psql")
def test_a_database_is_not_dropped_while_another_host_is_connected(postgres_url, monkeypatch):
    url = make_url(postgres_url).set(drivername="postgresql")
    server = url.set(database="postgres").render_as_string(hide_password=False)
    monkeypatch.setattr(removal, "PSQL", ("psql", "--quiet", "--set=ON_ERROR_STOP=1", server))
    # Do not drop the roles, because these roles might be in use on a server that the tests share.
    dropped = removal._DROP.splitlines()[0].replace(DATABASE, f'"{url.database}"')
    monkeypatch.setattr(removal, "_DROP", dropped)

    with psycopg.connect(url.render_as_string(hide_password=False)) as other:
        with pytest.raises(InstallationError, match="from the other hosts first"):
            removal._drop_database()
        assert other.execute("SELECT 1").fetchone() == (1,)
