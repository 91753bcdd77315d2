"""Figures of a model on held-out data, with their intervals."""
