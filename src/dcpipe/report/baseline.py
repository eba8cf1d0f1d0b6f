"""The method that every other one must beat."""

BASELINE = "random"  # as many real images, chosen at random
