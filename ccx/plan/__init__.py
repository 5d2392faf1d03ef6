"""Plans: what a change of the spec does to requests, channels and clients, for review before it is merged."""
