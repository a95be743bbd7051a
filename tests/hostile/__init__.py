"""What is hostile or damaged: archives, METS."""
