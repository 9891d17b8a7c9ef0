"""The simpler methods that stand beside a network: counts, Naive Bayes, the nearest example."""
