"""Build the data of the status page: each part's light, what needs an operator, and recent activity."""

from workers.observe.status.activity import ActivityReader
from workers.observe.status.overview import Probes, build_state, open_probes
