"""Work with the broker over blocking connections, for `omctl` and for processes that seldom publish."""

from messaging.admin.dead_letters import (
    MAX_WINDOW,
    DeadLetterQueue,
    DestinationDeadLetter,
    QueuedDeadLetter,
    lock_dead_letters,
    publish_dead_letters,
)
from messaging.admin.session import EventPublisher, broker_session, event_publisher
from messaging.admin.topology import BrokerObject, ObjectState, count_waiting_events, inspect, peek, set_up
