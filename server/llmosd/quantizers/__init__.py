"""Ways to keep a matrix in fewer bits."""
