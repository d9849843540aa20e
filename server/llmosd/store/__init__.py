"""What is on disk: the catalog, and the files of each model version."""
