"""Comparison of saliency maps with the outlines of lesions that people drew."""
