"""What may be asked, and what may be answered: decided around every generation."""
