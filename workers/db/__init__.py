"""Define the tables, transactions and statements, one subpackage for each subject."""
