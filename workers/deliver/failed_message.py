"""Make the receipt that tells an agent of a message that failed: values in, values out.

Source:
    Genesys Cloud, `POST /api/v2/conversations/messages/{integrationId}/inbound/open/receipt`: models
    OpenInboundNormalizedReceipt, OpenInboundMessagingReceiptChannel and ConversationReason of the official
    Python SDK, release 269.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from messaging.errors import RejectedEventError
from workers.parsing import moment_of, parse_body

if TYPE_CHECKING:
    from collections.abc import Mapping

RECEIPT_PATH: Final = "/api/v2/conversations/messages/{}/inbound/open/receipt"

RATE_LIMITED: Final = 429
SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class FailedMessage:
    """A message of the platform's that a service behind did not take.

    Args:
        integration_id: The platform's integration that sent it.
        message_id: The platform's id of it.
        recipient: Whom it was meant for, as the platform wrote it: personal.
    """

    integration_id: str
    message_id: str
    recipient: Mapping[str, Any]

    @property
    def path(self) -> str:
        """Return where the platform takes its receipts."""
        return RECEIPT_PATH.format(quote(self.integration_id, safe=""))

    def receipt(self, status: int | None, reason: str | None, now_us: int) -> dict[str, Any]:
        """Return the receipt that says so.

        Args:
            status: The HTTP status of the last answer; None where none came.
            reason: Why the last attempt failed, in a word of ours.
            now_us: The present, microseconds since the epoch.
        """
        moment = moment_of(now_us).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "id": self.message_id,
            "channel": {"to": self.recipient, "time": moment},
            "status": "Failed",
            "reasons": [{"code": _code_of(status), "message": f"Not delivered: {reason or 'no answer'}"}],
            "isFinalReceipt": True,
        }


def failed_message(body: bytes) -> FailedMessage | None:
    """Return the message that a raw body is; None of one that no agent and no bot wrote on the platform."""
    try:
        payload = parse_body(body)
    except RejectedEventError:
        return None
    match payload:
        case {
            "type": "Text" | "Structured",
            "id": str(message_id),
            "channel": {"id": str(integration_id), "to": {"id": str()} as recipient},
        } if payload.get("direction", "Outbound") == "Outbound":
            known = {name: recipient[name] for name in ("id", "idType") if name in recipient}
            return FailedMessage(integration_id, message_id, known)
    return None


def _code_of(status: int | None) -> str:
    """Return the platform's word for why: one of a closed list."""
    if status == RATE_LIMITED:
        return "RateLimited"
    return "ServerError" if status is None or status >= SERVER_ERROR else "GeneralError"
