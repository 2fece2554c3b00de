"""Agreement of saliency maps with lesions that people outlined."""
