"""A language model that runs at its last token alone, with one interface for all architectures."""
