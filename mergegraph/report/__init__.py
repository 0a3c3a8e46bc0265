"""Show every stage: text, JSON, pictures."""
