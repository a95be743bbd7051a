"""What a power cut may leave: every state of a model disk, and copies of a real one."""
