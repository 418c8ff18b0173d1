"""Prompt pairs: how they are read, checked and tokenised, and the suite from which a sample of pairs is drawn."""
