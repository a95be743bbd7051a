"""What is deployed, read as files: no engine is needed."""
