"""Reach the platform of the OM_GENESYS_ variables, within the request budget of all hosts."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from messaging.errors import ConfigurationError
from workers.db.engine import DatabaseClock, make_engine
from workers.genesys import GenesysClient, RequestBudget, read_genesys_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from messaging.environment import Environment


@contextmanager
def platform_client(environment: Environment) -> Iterator[GenesysClient]:
    """Give a client of the platform.

    Where OM_DATABASE_URL is not set, as on a host that runs only the edge, its few requests are not counted.

    Raises:
        ConfigurationError: The platform is not configured.
    """
    settings = read_genesys_settings(environment)
    if settings is None:
        raise ConfigurationError(
            "OM_GENESYS_REGION is not set: name the organisation's region, with OM_GENESYS_CLIENT_ID and "
            "OM_GENESYS_CLIENT_SECRET"
        )
    url = environment.string("OM_DATABASE_URL")
    if not url:
        yield GenesysClient(settings, None)
        return
    engine = make_engine(url)
    try:
        limit = settings.requests_per_minute
        yield GenesysClient(settings, RequestBudget(engine, settings.client_id, limit, DatabaseClock(engine)))
    finally:
        engine.dispose()
