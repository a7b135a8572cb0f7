"""Run the scale role with short times, as `python -m workers scale` does with its own."""

import sys
from dataclasses import replace

from messaging.log import configure_logging
from workers.bootstrap import run_scale
from workers.scale import read_scale_settings

if __name__ == "__main__":
    configure_logging("info", process="scale")
    settings = read_scale_settings()
    limits = replace(settings.limits, events_per_worker=500, cooldown=1.0)
    run_scale(replace(settings, limits=limits, seconds=0.2), as_processes="--processes" in sys.argv)
