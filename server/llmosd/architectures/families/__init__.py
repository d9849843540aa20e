"""What is known of each architecture without running it; imports no torch. See `table`."""
