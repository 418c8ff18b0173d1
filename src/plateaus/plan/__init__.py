"""Estimate the time, memory and disk of a run without loading a model: `python -m plateaus.plan`, `make plan`.

`shapes` finds the sizes of every model, `flops` counts the operations of a stage, `storage` its rows, bytes and memory,
`calibration` holds the measured constants, `estimate` combines all of these into a plan, `schedule` turns jobs and
cores into minutes, `layout` prints the plan, and `measured` compares it with the records of a finished run.
"""
