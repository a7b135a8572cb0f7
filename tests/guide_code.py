"""The guide's own code: its consumer and the cache that it uses."""


class Cache(dict):
    """The cache of the guide's code, with its own method names."""

    def exists(self, key):
        return key in self

    def set(self, key, value, ttl):
        self[key] = (value, ttl)


def guide_consumer(payload, cache, process_conversation_event):
    """Consume one event with the guide's sample, which is unchanged except for a missing log line."""
    composite_key = f"{payload['conversationId']}:{payload['timestamp']}"
    if cache.exists(composite_key):
        return
    process_conversation_event(payload)
    cache.set(composite_key, "processed", ttl=2592000)
