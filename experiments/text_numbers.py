"""Writes the measured numbers of README.md, docs/ and this folder's README from results/: python experiments/text_numbers.py"""

from harness.text_numbers import main

if __name__ == "__main__":
    main()
