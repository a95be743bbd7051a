"""The modifier service."""
