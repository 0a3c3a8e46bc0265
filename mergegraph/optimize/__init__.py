"""Optimize the Graph by a pipeline of passes."""
