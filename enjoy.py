"""Watch a trained agent: ``python enjoy.py --load-best``; ``--help`` lists the flags."""

import sys

from sb3_mario.watching.enjoy import main

if __name__ == "__main__":
    sys.exit(main())
