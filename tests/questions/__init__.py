"""Time the questions of docs/database.md on tables whose size makes their plans matter."""
