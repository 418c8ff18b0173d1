"""Time the stages against the usual way of doing the same work, and against the time of their matrix products."""
