"""Looking into a running service: one file for each thing that is looked at, findings out."""
