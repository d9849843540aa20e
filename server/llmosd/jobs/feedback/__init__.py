"""Feedback: rows to learn from, and how versions stand in people's eyes."""
