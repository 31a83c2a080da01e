"""Build tools of the game: pictures and level maps in text, out comes what the assembler reads."""
