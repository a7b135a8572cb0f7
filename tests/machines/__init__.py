"""Machines that boot with systemd, to install the service on as its operators do."""
