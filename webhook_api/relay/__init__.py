"""Publish journalled events to the broker, prove that it has them, and publish unproven events again."""

from webhook_api.relay.link import BrokerLink
from webhook_api.relay.majority import MajorityWatch
from webhook_api.relay.oversized import SET_ASIDE, Oversized, delete_expired
from webhook_api.relay.proof import Barrier, Confirms
from webhook_api.relay.relay import Relay
