"""How good: accuracies, how settings were chosen, and what a method is worth."""
