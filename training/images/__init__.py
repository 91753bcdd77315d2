"""Pictures made, changed and simulated to train and to measure with."""
