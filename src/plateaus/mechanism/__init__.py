"""The mechanism behind the curves: Jacobians of MLPs, attention and blocks along the path, and spline codes."""
