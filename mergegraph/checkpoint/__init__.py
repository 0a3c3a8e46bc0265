"""Read model directories: headers first, tensors in pieces."""
