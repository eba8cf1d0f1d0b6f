"""What a synthetic set is used for beside training one network: continual learning, and searching an architecture."""
