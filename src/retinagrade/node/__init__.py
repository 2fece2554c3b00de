"""A DICOM node: it receives photographs, grades their studies, and sends the results to an archive."""
