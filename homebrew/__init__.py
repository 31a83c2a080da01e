"""The free game that the project brings along; see README.md here."""
