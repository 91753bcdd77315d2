"""What the recipes of one kind of task share."""
