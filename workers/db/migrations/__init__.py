"""The database's structure, version by version, for PostgreSQL and SQLite."""
