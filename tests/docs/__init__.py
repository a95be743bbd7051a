"""The documents: their commands are run, their reference is the code's, their links lead somewhere."""
