"""The engine: an order, the processes that do it, what they tell, and the report that comes of it."""
