"""Live conversion: what its settings cost, and what they are worth."""
