"""Writes the parts of docs/reference that the code knows best: `make reference`. A test holds the pages to it."""
