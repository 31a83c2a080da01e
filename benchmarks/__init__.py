"""Measurements against peers, one command each."""
