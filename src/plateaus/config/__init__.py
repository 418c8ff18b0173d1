"""The configuration: read and checked, and which part of it each stage is given."""
