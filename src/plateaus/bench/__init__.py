"""How long the stages take, beside the usual way of doing the same and beside the arithmetic that they need."""
