"""Long-running work: recorded, watchable, cancellable. Knows no job."""
