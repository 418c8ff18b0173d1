"""The drawing kit that the figures share: panels, style, wording, and the quantities that several figures show."""
