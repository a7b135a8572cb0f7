"""A sender that behaves like the platform, for tests, demonstrations and faults."""
