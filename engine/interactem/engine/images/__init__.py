"""Images of operators, and of what they stand on."""
