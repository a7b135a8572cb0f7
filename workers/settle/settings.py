"""Read the settings of the settle role, or refuse to start."""

from dataclasses import dataclass, field
from typing import Final

from messaging.environment import Environment
from workers.genesys import GenesysSettings, read_genesys_settings

GIVE_UP_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class SettleSettings:
    """Settings of a settle process; deploy/environment.example describes them."""

    database_url: str = field(repr=False)
    genesys: GenesysSettings | None
    give_up_seconds: float = GIVE_UP_SECONDS
    apply_unverified_seconds: float = 0.0


def read_settle_settings() -> SettleSettings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: A variable is missing or malformed; the text names it.
    """
    environment = Environment()
    return SettleSettings(
        database_url=environment.required("OM_DATABASE_URL", "the database"),
        genesys=read_genesys_settings(environment),
        give_up_seconds=environment.seconds("OM_ROUTING_GIVE_UP_SECONDS", GIVE_UP_SECONDS, minimum=20.0),
        apply_unverified_seconds=environment.seconds("OM_APPLY_UNVERIFIED_SECONDS", 0.0),
    )
