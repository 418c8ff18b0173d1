"""The claims of the post, each a module of its own behind one interface (see `plateaus.judging.interface`)."""
