"""The drawing kit that the figures share: panels, style, wording, and the quantities several figures show."""
