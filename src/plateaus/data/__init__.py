"""Tables and files: table declarations, reading and writing, hashes, and the layout of a results folder."""
