"""A finished run as one file: packed with its source, described as a Workflow RO-Crate, and verified elsewhere."""
