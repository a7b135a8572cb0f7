"""Machines that boot with systemd, for tests that install the service as its operators do."""
