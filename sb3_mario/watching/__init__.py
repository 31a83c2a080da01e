"""What ``enjoy.py`` runs: find an agent, play with it, draw what it sees, judge it."""
