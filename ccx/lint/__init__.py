"""What is wrong with a spec that is valid: rules in families, their suppression, and their fixes."""
