"""Plots of runs, from their ``episodes.csv``."""
