"""Test the service on machines that boot with systemd, after installing it there as operators would."""
