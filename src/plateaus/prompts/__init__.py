"""Prompt pairs: read, checked and tokenised, and the suite that a sample of them is drawn from."""
