"""A worker in another language, and a test that it and ours work on one board."""
