"""GRIN, the Google Return Interface: credentials, the rate of requests, lists and archives."""
