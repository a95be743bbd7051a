"""The decryptor service."""
