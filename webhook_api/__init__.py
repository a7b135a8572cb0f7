"""The edge: verify, journal, publish and answer webhooks. It never parses a body and never blocks."""
