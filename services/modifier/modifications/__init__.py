"""The modifications that ship with the modifier, one a file."""
