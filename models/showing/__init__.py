"""What people see of a run: the terminal, curves, TensorBoard."""
