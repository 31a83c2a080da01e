"""Super Mario Bros. itself: its memory, buttons, levels, rewards and ROM files. No emulator."""
