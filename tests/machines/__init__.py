"""Test the service on machines that boot with systemd, on which it is installed as operators install it."""
