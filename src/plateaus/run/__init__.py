"""Support for the Snakefile: checks before a run, code inputs, memory, locks and provenance."""
