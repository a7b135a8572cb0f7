"""Build the data of the status page: the parts' lights, the alerts for operators, and recent activity."""

from workers.observe.status.activity import ActivityReader
from workers.observe.status.overview import Probes, build_state, open_probes
