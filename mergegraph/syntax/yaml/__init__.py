"""Read recipes written as YAML: mergekit's configurations, and the recipe language as a map."""
