"""Real servers on this machine, for a first run and for the tests."""
