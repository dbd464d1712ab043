"""The command line: thin, one command a file. Heavy imports are inside the commands."""
