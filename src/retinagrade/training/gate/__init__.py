"""Training of the gate: made-up photographs and other pictures, their features, the heads, and their judgement."""
