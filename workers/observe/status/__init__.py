"""What the status page shows: the parts' lights, what needs an operator, and what happened lately."""

from workers.observe.status.activity import ActivityReader
from workers.observe.status.overview import Probes, build_state, open_probes
