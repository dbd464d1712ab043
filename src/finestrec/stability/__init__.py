"""Did the lists hold? The audit, its rows and what they say."""
