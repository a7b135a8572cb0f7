"""Time the questions of docs/database.md on tables so large that query plans matter."""
