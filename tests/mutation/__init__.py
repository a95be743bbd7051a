"""Mutation testing of the board's modules: see mutants.py."""
