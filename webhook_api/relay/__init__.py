"""Hand accepted events over to the broker: publish, prove, publish again."""

from webhook_api.relay.barrier import Barrier
from webhook_api.relay.confirms import Confirms
from webhook_api.relay.majority_watch import MajorityWatch
from webhook_api.relay.outlet import Outlet
from webhook_api.relay.oversized import Oversized
from webhook_api.relay.relay import Relay

__all__ = ["Barrier", "Confirms", "MajorityWatch", "Outlet", "Oversized", "Relay"]
