"""What the simulated GRIN knows and answers: tokens, lists, conversions, archives, and faults on demand."""
