"""Networks: backbones, heads and the weights they start from."""
