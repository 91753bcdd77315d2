"""What people read of a model: its card, tables and pictures."""
