"""Recurrent networks: their equations, their backpropagation through time, and their layers."""
