"""imkin finds the kin of your images: exact copies, edited copies and look-alikes."""

__version__ = "0.1.0"
