"""Hand accepted events over to the broker: publish, prove, publish again."""

from webhook_api.handover.barrier import Barrier
from webhook_api.handover.confirms import Confirms
from webhook_api.handover.handover import Handover
from webhook_api.handover.majority_watch import MajorityWatch
from webhook_api.handover.outlet import Outlet
from webhook_api.handover.oversized import Oversized

__all__ = ["Barrier", "Confirms", "Handover", "MajorityWatch", "Outlet", "Oversized"]
