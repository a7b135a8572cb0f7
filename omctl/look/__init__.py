"""Show the service's state: check, find, stats and drift. Other packages may import any module."""
