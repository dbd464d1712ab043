"""What might have happened: edits of a log, and what selects the interactions they touch."""
