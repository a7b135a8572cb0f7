"""A database that other hosts use, and `omctl uninstall --purge` on the host that has it."""

import shutil

import psycopg
import pytest
from sqlalchemy import make_url

from omctl.installing import removal
from omctl.installing.database import DATABASE
from omctl.installing.steps import InstallationError


@pytest.mark.skipif(shutil.which("psql") is None, reason="needs psql")
def test_a_database_stays_while_others_are_connected(postgres_url, monkeypatch):
    url = make_url(postgres_url).set(drivername="postgresql")
    server = url.set(database="postgres").render_as_string(hide_password=False)
    monkeypatch.setattr(removal, "PSQL", ("psql", "--quiet", "--set=ON_ERROR_STOP=1", server))
    # The roles are left out: the server may be one that has them.
    dropped = removal._DROP.splitlines()[0].replace(DATABASE, f'"{url.database}"')
    monkeypatch.setattr(removal, "_DROP", dropped)

    with psycopg.connect(url.render_as_string(hide_password=False)) as theirs:
        with pytest.raises(InstallationError, match="from the other hosts first"):
            removal._drop_database()
        assert theirs.execute("SELECT 1").fetchone() == (1,)
