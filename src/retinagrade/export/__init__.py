"""One file of a trained network: the graph with probabilities and evidence, what it must know, and the proof."""
