"""The llmos contract; see llmos.v1."""
