"""Write model directories: all or nothing."""
