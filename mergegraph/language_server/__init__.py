"""What editors ask of a recipe: findings, explanations, completions, definitions. `server` speaks the protocol."""
