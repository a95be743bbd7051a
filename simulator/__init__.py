"""A GRIN look-alike over HTTP, with books of its own and faults on demand: for demo and tests, never deployed."""
