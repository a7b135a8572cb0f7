"""The edge: verify, journal, publish, answer. It never looks into a body and never waits."""
