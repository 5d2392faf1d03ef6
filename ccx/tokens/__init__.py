"""What `input_tokens` means, and the machinery that counts it. `blocks` holds the definition."""
