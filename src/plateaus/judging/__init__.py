"""How claims are judged: evidence, statistics and the one rule that turns findings into verdicts."""
