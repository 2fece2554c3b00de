"""Training: experiments, augmentation, loading, the Lightning loop, and predictions of a run."""
