"""Evaluation: predictions joined to grades by ``image_id``, metrics, integrity, pictures and the report."""
