"""Explanations: where in a photograph a score is sensitive, and what layers give. No evidence of reasoning."""
