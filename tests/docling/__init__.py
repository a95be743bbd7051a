"""Docling, which reads Google's own archives, reads our packages as well: `make docling`."""
