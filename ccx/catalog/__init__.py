"""What ccx knows about the world outside: providers, their models, limits and prices. Data with a source and a date."""
