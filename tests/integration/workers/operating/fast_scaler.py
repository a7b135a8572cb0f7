"""Run the scale role with shorter times than `python -m workers scale`."""

import sys

from messaging.log import configure_logging
from workers.bootstrap import run_scale
from workers.scale import FleetLimits
from workers.settings import ScaleSettings


class FastSettings(ScaleSettings):
    """Settings of the scale role with a low threshold and a short cool-down."""

    @property
    def limits(self):
        return FleetLimits(self.floor, self.ceiling, events_per_worker=500, cooldown=1.0)


if __name__ == "__main__":
    configure_logging("info", process="scale")
    settings = FastSettings.from_environment()
    run_scale(settings, processes="--processes" in sys.argv, seconds=0.2)
