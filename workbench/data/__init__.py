"""Dataset cards, cohorts grouped by patient, episodes, and what feeds meta-training."""
