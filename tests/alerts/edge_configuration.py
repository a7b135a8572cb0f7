"""Configure gunicorn to run an edge that keeps the platform's address list beside its state directory."""

import os
from pathlib import Path

from webhook_api import health
from webhook_api.gunicorn_conf import *  # noqa: F403  # the edge's own configuration

health.PLATFORM_LIST = Path(os.environ["OM_STATE_DIRECTORY"]).with_name("networks")  # type: ignore[misc]
