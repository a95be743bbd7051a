"""The command line as a contract: help, sentences, exit codes, JSON, completion."""
