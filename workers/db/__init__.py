"""Hold the tables, run transactions and bulk statements, one subpackage for each subject."""
