"""Tables from stored results alone: no training, no torch."""
