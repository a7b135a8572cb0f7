"""Show the service's state: check, find, stats and drift; each module is public."""
