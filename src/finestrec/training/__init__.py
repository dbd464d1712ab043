"""How a model learns: objectives, the loop, and what comes out of it."""
