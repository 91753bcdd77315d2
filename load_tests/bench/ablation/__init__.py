"""What was written by hand, with and without it in the same run: processor time by turns, and the ratio's spread."""
