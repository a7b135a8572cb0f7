"""Stand-ins that a test steers: one of each, with the interface of the real thing."""
