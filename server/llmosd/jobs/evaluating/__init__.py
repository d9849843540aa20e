"""Evaluations: which examples are asked, and what the answers are worth."""
