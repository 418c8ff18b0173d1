"""Two runs side by side: what was set differently, how the verdicts differ, and how each pair's curve differs."""
