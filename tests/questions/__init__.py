"""Time the questions in docs/database.md on tables that are large enough for query plans to matter."""
