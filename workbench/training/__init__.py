"""Meta-training: plans, checkpoints, meta-validation and the run itself."""
