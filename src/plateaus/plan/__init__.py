"""What a run will take, before anything runs and without loading a model: `python -m plateaus.plan`, `make plan`.

`shapes` finds every model's sizes, `flops` counts a stage's operations, `storage` its rows, bytes and memory,
`calibration` holds the constants that were measured, `estimate` puts them together, `schedule` turns jobs and cores
into minutes, `layout` prints, and `measured` compares with what a finished run has recorded.
"""
