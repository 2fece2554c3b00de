"""Explanations: where in a photograph a network's score is sensitive, and what its layers see. No evidence of reasoning."""
