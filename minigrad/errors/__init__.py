"""What an error says: how it shows a value, and the words of other libraries that it knows."""
