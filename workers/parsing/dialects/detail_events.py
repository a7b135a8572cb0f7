"""Parse detail events of Amazon EventBridge, which report the start and the routing of conversations.

The native bodies of Open Messaging do not report these changes. The Notifications API sends the same events
over a WebSocket, without EventBridge's envelope; this module parses them too.

Source:
    GenesysCloudBlueprints/genesys-cloud-event-streaming-blueprint, its test events; the models
    …DetailEventTopic… of Genesys' Python SDK 269; the help page "Overview of triggers".
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from messaging.errors import RejectedEventError
from workers.parsing import events
from workers.parsing import schema_reader as schema
from workers.parsing.drift import DriftNotes
from workers.parsing.idempotency import digest_of, guide_key
from workers.parsing.timestamps import microseconds_of

_TOPIC: Final = re.compile(r"v2\.detail\.events\.conversation\.[^.]{1,64}\.(?P<kind>[a-z.]{1,40})")

STARTED: Final = "customer.start"
ANSWERED: Final = "acd.end"

STATUSES: Final = {
    "acd.start": events.QUEUED,
    # An agent is being alerted. Only the agent's answer ends the wait in the routing queue.
    "user.start": events.ALERTING,
    "user.end": events.AGENT_LEFT,
    "customer.end": events.ENDED,
}
"""Maps the kind of a detail event to a routing state. The state after `acd.end` depends on its outcome."""

OTHERS: Final = schema.names("""
    acw attributes contact.update flow.end flow.outcome flow.start outbound voicemail.end voicemail.start
    wrapup
    """)
"""The other known kinds of detail events, which have no routing state."""


class DetailEventSchema(schema.LenientSchema):
    """The body of every detail event. Participants and addresses are not read: they are personal data."""

    unread = schema.names("""
        addressFrom addressTo alertingDurationMs ani answeredUserId attributes callbackDurationMs
        callbackNumbers callbackScheduledTime callbackUserName communications connectedDurationMs
        contactingDurationMs conversationExternalContactIds conversationExternalOrganizationIds
        dialingDurationMs direction disconnectType divisionId dnis exitReason externalContactId
        externalOrganizationId flowId flowMilestones flowOutcomeEndTime flowOutcomeId flowOutcomeStartTime
        flowOutcomeValue flowType flowVersion heldDurationMs interactingDurationMs journeyContext
        outboundCampaignId outboundContactId outboundContactListId participantId participantStartTime
        provider requestedLanguageId requestedRoutingSkillIds requestedRoutingUserIds requestedRoutings
        requestedSkillExpressionIds routingPriority sessionId skillExpressionApplied subject transferType
        usedRouting userId utilizationLabel voicemailDurationMs wrapupCode wrapupDurationMs wrapupNotes
        """)

    conversation_id = schema.Identifier("conversationId", required=True)
    occurred_at = schema.Checked(schema.epoch_milliseconds, "eventTime", required=True)
    medium = schema.Words("mediaType")
    messenger = schema.Words("messageType")
    routing_queue = schema.Words("queueId")
    outcome = schema.Words("acdOutcome", known=frozenset({"UNKNOWN", "ABANDON", "ANSWERED", "FLOW_OUT"}))


BODY: Final = DetailEventSchema("detail.eventBody")


def read_detail_event(
    payload: Mapping[str, Any], notes: DriftNotes, event_types: AbstractSet[str]
) -> events.Event:
    """Parse the payload of one detail event into an event."""
    detail = payload.get("detail", payload)
    body = detail.get("eventBody") if isinstance(detail, dict) else None
    if not isinstance(body, dict):
        raise RejectedEventError("missing_field", "detail.eventBody: is missing, or is not an object")
    kind = _read_kind(payload, detail)
    event_type = events.CONVERSATION_NEW if kind == STARTED else events.CONVERSATION_UPDATED
    if event_type not in event_types:
        raise RejectedEventError("unknown_event_type", "detail-type: is not a type that has a handler")
    if not (kind in STATUSES or kind in OTHERS or kind in {STARTED, ANSWERED}):
        notes.note_value("detail-type", kind.replace(".", "-"), event_type, is_closed=True)
    fields = BODY.read(body, notes, event_type)
    status = events.ROUTED if fields.get("outcome") == "ANSWERED" and kind == ANSWERED else STATUSES.get(kind)
    conversation_id, occurred_at_us = fields["conversation_id"], microseconds_of(fields["occurred_at"])
    # The platform sends the events of all media on one bus, including calls, emails and other messengers.
    medium = (fields.get("medium", "MESSAGE"), fields.get("messenger", "OPEN"))
    return events.Event(
        event_type=event_type,
        conversation_id=conversation_id,
        occurred_at_us=occurred_at_us,
        # The key does not depend on the envelope, which differs between EventBridge and the WebSocket.
        idempotency_key=guide_key(conversation_id, occurred_at_us, kind, digest_of(body)),
        dialect=events.EVENTBRIDGE,
        routing_status=status,
        routing_queue=fields.get("routing_queue"),
        skip=None if medium == ("MESSAGE", "OPEN") else "other_medium",
        payload=payload,
    )


def _read_kind(payload: Mapping[str, Any], detail: Mapping[str, Any]) -> str:
    for topic in (detail.get("topicName"), payload.get("detail-type")):
        found = _TOPIC.fullmatch(topic) if isinstance(topic, str) else None
        if found:
            return found["kind"]
    raise RejectedEventError("unknown_event_type", "detail-type: is not a detail event of a conversation")
