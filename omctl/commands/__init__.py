"""One file for each command of omctl, all in the same shape."""
