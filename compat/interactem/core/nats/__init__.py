"""Results for people to see, as interactEM's operators publish them."""
