"""What an administrator sees of the daemon: metrics, traces, its own checks."""
