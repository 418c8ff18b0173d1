"""What the Snakefile asks of the package: checks before a run, code inputs, memory, locks, provenance."""
