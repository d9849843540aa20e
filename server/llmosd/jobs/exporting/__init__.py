"""Versions of the store as files for other programs: the way back of `jobs.importing`."""
