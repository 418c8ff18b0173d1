"""Tables and files: their declarations, how they are written and read, hashes, and the layout of a results folder."""
