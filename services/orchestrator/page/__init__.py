"""The board in the browser: one page that is live, readable without scripts, and read-only without the action token."""
