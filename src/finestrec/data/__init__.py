"""What happened: the log, where it comes from, how it is split and cut into sequences."""
