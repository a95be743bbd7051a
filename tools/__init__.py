"""What makes the documents: the site, and the reference from the code. It is in no image, and runs nothing."""
