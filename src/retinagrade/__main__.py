"""``python -m retinagrade``."""

from retinagrade.cli import main

if __name__ == "__main__":
    main()
