"""Storms of kills and pauses over real workers, and soaks: a harness, an oracle and two command lines.

python -m tests.board.storm --books 10000 --kills 1000 --seeds 20
python -m tests.board.storm.soak --books 100000
"""
