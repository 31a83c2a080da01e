"""What ``train.py`` runs: arguments, hyperparameters, the run's folder, and the run itself."""
