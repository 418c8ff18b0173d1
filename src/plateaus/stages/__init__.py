"""One module per stage; each is a command, `python -m plateaus.stages.<stage>`, that a rule calls."""
