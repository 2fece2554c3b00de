"""Training of networks that outline lesions: crops, their loss, and the maps of whole photographs."""
