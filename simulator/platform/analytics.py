"""Answer which conversations there were, as the platform's analytics do."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, jsonify, request

from simulator.platform.answers import error

if TYPE_CHECKING:
    from simulator.platform.history import History, PastConversation

MOST_ON_A_PAGE: Final = 100


def analytics_routes(history: History) -> Blueprint:
    """Return the part of the API that lists conversations."""
    routes = Blueprint("analytics", __name__)

    @routes.post("/analytics/conversations/details/query")
    def details_query() -> tuple[Response, int]:
        """Return the conversations that started on a day which the interval touches.

        Source: `interval` of the model ConversationQuery, official Python SDK, release 269.
        """
        asked = request.get_json()
        try:
            days = [datetime.fromisoformat(each).date() for each in asked["interval"].split("/")]
            paging = asked.get("paging") or {}
            size, number = int(paging.get("pageSize", 25)), int(paging.get("pageNumber", 1))
        except (KeyError, ValueError, TypeError, AttributeError):
            return error(400, "bad.request", "The interval or the paging is malformed.")
        if not 1 <= size <= MOST_ON_A_PAGE or number < 1:
            return error(400, "bad.request", f"A page has 1 to {MOST_ON_A_PAGE} conversations.")
        started = [each for each in history.conversations() if days[0] <= _day_of(each) <= days[-1]]
        if asked.get("order") == "desc":
            started.reverse()
        page = started[(number - 1) * size : number * size]
        return jsonify(conversations=[_as_analytics(each) for each in page], totalHits=len(started)), 200

    @routes.get("/analytics/conversations/details")
    def details() -> tuple[Response, int]:
        """Return the conversations that the query lists by their ids, separated by commas.

        Source: get_analytics_conversations_details of the official Python SDK, release 269.
        """
        ids = request.args.get("id", "").split(",")
        if len(ids) > MOST_ON_A_PAGE:
            return error(400, "bad.request", f"At most {MOST_ON_A_PAGE} ids.")
        found = [history.conversation(each) for each in ids]
        return jsonify(conversations=[_as_analytics(each) for each in found if each is not None]), 200

    return routes


def _day_of(conversation: PastConversation) -> date:
    return datetime.fromisoformat(conversation.start_time).date()


def _as_analytics(conversation: PastConversation) -> dict[str, Any]:
    count = {"name": "oMessageCount", "value": len(conversation.said), "emitDate": conversation.start_time}
    session = {"mediaType": "message", "messageType": "open", "direction": "inbound", "metrics": [count]}
    return {
        "conversationId": conversation.conversation_id,
        "conversationStart": conversation.start_time,
        **({"conversationEnd": conversation.end_time} if conversation.end_time else {}),
        "originatingDirection": "inbound",
        "participants": [{"purpose": "customer", "sessions": [session]}],
    }
