"""Define the database's tables, transactions and SQL statements; each subject has its own module."""
