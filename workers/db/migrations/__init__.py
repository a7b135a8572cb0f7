"""Create and change the database's structure, version by version, on PostgreSQL and SQLite."""
