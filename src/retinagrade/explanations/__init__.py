"""Explanations: saliency maps of a network's scores and activations of its layers; no evidence of reasoning."""
