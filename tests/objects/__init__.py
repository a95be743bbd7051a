"""Uploads to a real S3 server, whole and in trouble, and audits of what lies there."""
