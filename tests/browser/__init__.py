"""The board's page in a real headless Chromium."""
