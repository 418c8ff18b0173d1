"""One module per stage. Each is a command, `python -m plateaus.stages.<stage>`, that a workflow rule calls."""
