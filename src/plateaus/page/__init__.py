"""What the report prints besides the figures: sentences, tables, the player and the picture of the workflow."""
