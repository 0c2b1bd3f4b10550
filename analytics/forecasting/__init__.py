"""How long windows last: readings over time, and what follows from them."""
