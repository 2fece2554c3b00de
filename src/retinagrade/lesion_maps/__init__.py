"""Reading lesion maps: single lesions, plain numbers, optic disc and fovea, and the grade that follows from them."""
