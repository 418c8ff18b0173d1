"""A language model run at its last token alone, behind one interface for all architectures."""
