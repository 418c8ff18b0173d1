"""The configuration: how it is read and checked, and which part of it each stage is given."""
