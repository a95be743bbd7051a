"""The forms in which a book goes to the store, one a file."""
