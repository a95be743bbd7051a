"""A file system that lies like a network's: a pass-through by FUSE, for the tests of the board."""
