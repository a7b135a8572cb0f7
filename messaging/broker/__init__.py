"""Connect to the broker, and exchange frames with it."""

from messaging.broker.addresses import NO_LIMIT, describe, parameters_of, size_limit_of, virtual_host
from messaging.broker.connection import CLOSE_SECONDS, BrokerConnection, confirms_within
from messaging.broker.frames import DeliveryReader, PublishFrames, Receiver
from messaging.broker.publisher import ATTEMPT_SECONDS, STABLE_SECONDS, BrokerState, Publisher
