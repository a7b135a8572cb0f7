"""Publish events on a process's loop, without confirms."""

from messaging.publishing.publisher import Publisher

__all__ = [
    "Publisher",
]
