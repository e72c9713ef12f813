"""interactEM's models, as far as its operators use them."""
