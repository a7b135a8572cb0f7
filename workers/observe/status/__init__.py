"""Build the status page's data: a light for each part of the service, the alerts, and recent activity."""

from workers.observe.status.activity import ActivityReader
from workers.observe.status.overview import Probes, build_state, open_probes
