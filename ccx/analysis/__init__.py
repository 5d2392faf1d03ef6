"""What a routing table means for every request there could be: exact comparison, proofs, witnesses."""
