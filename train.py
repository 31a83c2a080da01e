"""Train an agent: ``python train.py --algo dueling_dqn``; ``--help`` lists the flags."""

import sys

from sb3_mario.training.run import main

if __name__ == "__main__":
    sys.exit(main())
