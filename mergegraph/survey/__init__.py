"""Survey checkpoints: statistics of their tensors, and of the differences between them."""
