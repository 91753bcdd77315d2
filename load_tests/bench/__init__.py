"""What the service costs, beside what bounds it and what others cost."""
